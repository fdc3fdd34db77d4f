//! A tenant's settings, each with a default that suits a new tenant.

use serde::{Deserialize, Serialize};

use super::confidence::Mode;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name the assistant speaks for; the tenant's name when absent.
    pub brand: Option<String>,
    /// How the assistant should sound, such as "friendly and brief".
    pub tone: Option<String>,
    /// The tenant's own instructions to the model.
    pub prompt: Option<String>,
    pub model: ModelSettings,
    pub confidence: ConfidenceSettings,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    pub provider: Provider,
    /// The provider's name of the model; the worker's default when absent.
    pub model: Option<String>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    pub max_tokens: Option<u32>,
}

/// Who completes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// The worker's OpenAI-compatible endpoint when it has one, else extractive.
    #[default]
    Auto,
    /// Quotes the sources; needs no model.
    Extractive,
    /// The worker's OpenAI-compatible endpoint.
    Openai,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfidenceSettings {
    pub mode: Mode,
    /// Words that make a question high-stakes, beside the product's own list.
    pub high_stakes: Vec<String>,
}
