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
    /// Not searchable, or in an older version only; `reason` says why.
    Failed,
    /// Searchable as it was, and to be embedded anew.
    Stale,
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
            Self::Stale => "stale",
            Self::Deleting => "deleting",
        }
    }

    /// Whether nothing is under way.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Stale)
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Processing, Self::Ready, Self::Failed, Self::Stale, Self::Deleting]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}
