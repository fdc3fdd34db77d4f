//! Documents and their states.

use serde::{Deserialize, Serialize};

/// Largest upload, in bytes (50 MB).
pub const MAX_BYTES: usize = 50 * 1024 * 1024;
/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 255;
/// Most tags on a document, and the longest tag in characters.
pub const MAX_TAGS: usize = 20;
pub const MAX_TAG_CHARS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted; not yet being read.
    Pending,
    Processing,
    /// Searchable.
    Ready,
    /// Not searchable; `reason` says why.
    Failed,
    /// Being removed; no longer searchable.
    Deleting,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Processing, Self::Ready, Self::Failed, Self::Deleting]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}
