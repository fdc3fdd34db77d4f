//! A passage found in the tenant's documents.

use jobs::domain::{ids::DocumentId, retrieval};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Source {
    #[schema(value_type = String, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    pub document_id: DocumentId,
    #[schema(example = "Returns and refunds")]
    pub document_name: String,
    pub chunk_id: String,
    pub content: String,
    /// Headings the passage stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    /// Page of a PDF, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Cosine similarity to the question, −1 to 1.
    pub similarity: f32,
    /// Of the search by vectors and words, comparable only within one. A reranker, where there is one, orders by its own.
    pub score: f32,
}

impl From<retrieval::Source> for Source {
    fn from(found: retrieval::Source) -> Self {
        Self {
            document_id: found.document_id,
            document_name: found.document_name,
            chunk_id: found.chunk_id,
            content: found.content,
            heading: found.heading,
            page: found.page,
            similarity: found.similarity,
            score: found.score,
        }
    }
}
