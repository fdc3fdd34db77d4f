//! Text to vectors.

use std::sync::Arc;

use async_trait::async_trait;

/// A normalised vector (length 1), as long as [`Embedder::dimension`] says.
pub type Embedding = Arc<[f32]>;

/// The embedding engine failed; another attempt may succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("embedding failed: {0}")]
pub struct EmbedError(pub String);

/// Turns texts into vectors whose dot product is their cosine similarity.
#[async_trait]
pub trait Embedder: Send + Sync {
    /// `{name}@{version}` of the model, as stored on every row it made; the version follows from the model's bytes, so that
    /// another model under the same name is another one.
    fn model(&self) -> &str;

    /// Numbers in a vector.
    fn dimension(&self) -> usize;

    /// The share of a text's letters in words that the model's vocabulary holds whole, 0 to 1: near 1 in the languages the
    /// model was made for, where its vectors say most.
    fn familiarity(&self, text: &str) -> f32;

    /// One vector for a question. Served ahead of documents.
    async fn embed_query(&self, text: &str) -> Result<Embedding, EmbedError>;

    /// One vector per text, in order. A vector never depends on its neighbours in the batch.
    async fn embed_documents(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbedError>;
}
