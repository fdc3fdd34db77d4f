//! Questions and passages, read together, to scores.

use async_trait::async_trait;

/// The reranker failed, or was too busy. A search goes on without it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("reranking failed: {0}")]
pub struct RerankError(pub String);

/// Tells how well passages answer a question: better than vectors, which know a passage only by itself, and far dearer.
#[async_trait]
pub trait Reranker: Send + Sync {
    /// `{name}@{version}` of the model.
    fn model(&self) -> &str;

    /// One score per passage, in order, higher for a better one; comparable only among those of one question.
    async fn score(&self, query: &str, passages: Vec<String>) -> Result<Vec<f32>, RerankError>;
}
