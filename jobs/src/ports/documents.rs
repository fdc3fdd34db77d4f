//! Bytes of an uploaded document to passages ready for embedding.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A piece of a document, no longer than the embedding model reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    pub text: String,
    /// Headings above the passage, outermost first, joined by ` › `; `None` outside any heading.
    pub heading: Option<String>,
    /// Page the passage begins on, from 1, where the format has pages.
    pub page: Option<u32>,
}

/// What is embedded and indexed of a passage: it makes more sense under its headings.
pub fn headed(heading: Option<&str>, text: &str) -> String {
    match heading {
        Some(heading) => format!("{heading}\n{text}"),
        None => text.to_owned(),
    }
}

/// Why a document gives no passages. The text is shown to the tenant.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Reading the same bytes again gives the same answer.
    #[error("{0}")]
    Unreadable(String),
    /// The reader itself failed; another attempt may succeed.
    #[error("{0}")]
    Unavailable(String),
}

/// Reads untrusted documents, in a process of its own with limits but for short texts.
#[async_trait]
pub trait DocumentReader: Send + Sync {
    /// The passages of a document in reading order; never empty.
    ///
    /// `content_type` is what the uploader claims; the bytes decide where the two differ.
    async fn read(&self, bytes: &[u8], content_type: &str) -> Result<Vec<Passage>, ReadError>;
}
