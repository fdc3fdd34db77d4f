//! Completions from a model provider.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::domain::{message::Turn, retrieval::Source, settings::ModelSettings};

/// What a completion is made from.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Brand, tone and the tenant's own instructions, without the sources.
    pub instructions: String,
    /// The newest turns before the question, oldest first.
    pub history: Vec<Turn>,
    pub question: String,
    /// Numbered from 1 in the prompt and in citations.
    pub sources: Vec<Source>,
    pub settings: ModelSettings,
    /// The tenant's own key of the provider; `None` for the worker's.
    pub key: Option<SecretString>,
    /// Stable across attempts, so that a provider that deduplicates can.
    pub request_id: String,
    /// The trace of the call, told to the provider.
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    pub prompt_tokens: u32,
    pub completion_tokens: u32,
}

#[derive(Debug, Clone)]
pub struct Completion {
    /// Never blank.
    pub text: String,
    pub usage: Usage,
    /// `provider/model`, the key of the price table.
    pub model: String,
}

/// Why no completion came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModelError {
    /// The provider refuses this request for good: bad key, unknown model, content policy.
    #[error("the model provider refused the request: {0}")]
    Refused(String),
    /// Overload, network or provider failure; `after` where the provider said when to come back.
    #[error("the model provider is unavailable: {reason}")]
    Unavailable { reason: String, after: Option<Duration> },
    /// The provider answered with nothing.
    #[error("the model returned an empty completion")]
    Empty,
}

impl ModelError {
    /// Names the class of the error, without what the provider said.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unavailable { .. } => "unavailable",
            Self::Empty => "empty",
        }
    }
}

#[async_trait]
pub trait LanguageModel: Send + Sync {
    /// Whether a completion with these settings is paid by a key; where none is, no key need be looked for.
    fn takes_key(&self, settings: &ModelSettings) -> bool;

    /// Completes the prompt, sending pieces of the text to `deltas` as they come. The pieces joined are the
    /// completion's text. A closed receiver does not end the completion.
    async fn complete(&self, prompt: Prompt, deltas: mpsc::Sender<String>) -> Result<Completion, ModelError>;
}
