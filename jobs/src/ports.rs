//! Narrow traits for the engines outside: the worker adapts them, the kinds use them.

mod documents;
mod embedder;
mod index;
mod language_model;
mod models;
mod reranker;
mod webhooks;

pub use documents::{DocumentReader, Passage, ReadError, headed};
pub use embedder::{EmbedError, Embedder, Embedding};
pub use index::{Chunk, Collection, Found, Hit, Index, IndexError, Limits, Place, Query, SearchFilter, Versions};
pub use language_model::{Completion, LanguageModel, ModelError, Prompt, Usage};
pub use models::{Model, Models};
pub use reranker::{RerankError, Reranker};
pub use webhooks::{SendError, SignedRequest, WebhookReply, WebhookSender};

use std::sync::Arc;

/// Every engine a job may need, made once per worker process.
#[derive(Clone)]
pub struct Engines {
    pub embedding: Models,
    pub index: Arc<dyn Index>,
    /// Absent where no model was given: results keep the order of the legs then.
    pub reranker: Option<Arc<dyn Reranker>>,
    pub model: Arc<dyn LanguageModel>,
    pub webhooks: Arc<dyn WebhookSender>,
}
