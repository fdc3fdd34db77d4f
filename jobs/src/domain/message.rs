//! Messages and their states.
//!
//! ```text
//!            ┌────────────── cancelled ◄── (any state that is not final)
//! queued ──► retrieving ──► completing ──► scoring ──► answered
//!    │            │              │            ├──────► withheld
//!    └────────────┴──────────────┴────────────┴──────► escalated | failed
//! ```

use serde::{Deserialize, Serialize};

/// Longest message text, in characters.
pub const MAX_TEXT_CHARS: usize = 4096;

/// Where a customer's message stands. Public: names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted; waits for its turn in the conversation.
    Queued,
    Retrieving,
    Completing,
    Scoring,
    /// The answer was sent.
    Answered,
    /// An answer exists but was not sent.
    Withheld,
    /// A human takes over; the customer got a notice.
    Escalated,
    /// No answer; `error` says why.
    Failed,
    Cancelled,
}

impl Status {
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Retrieving,
        Self::Completing,
        Self::Scoring,
        Self::Answered,
        Self::Withheld,
        Self::Escalated,
        Self::Failed,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Retrieving => "retrieving",
            Self::Completing => "completing",
            Self::Scoring => "scoring",
            Self::Answered => "answered",
            Self::Withheld => "withheld",
            Self::Escalated => "escalated",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status a stored text names; `None` for a text no version of the product has written.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Those that never change again.
    pub const FINAL: [Self; 5] = [Self::Answered, Self::Withheld, Self::Escalated, Self::Failed, Self::Cancelled];

    /// A final status never changes again.
    pub fn is_final(self) -> bool {
        Self::FINAL.contains(&self)
    }
}

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Customer,
    Assistant,
    Agent,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Assistant => "assistant",
            Self::Agent => "agent",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Customer, Self::Assistant, Self::Agent].into_iter().find(|role| role.as_str() == text)
    }
}

/// One line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub text: String,
}

/// Why a message failed. `code` is stable; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub detail: String,
}

/// A message's text: not blank, at most [`MAX_TEXT_CHARS`] characters, without NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    #[error("text is empty")]
    Empty,
    #[error("text has {0} characters; at most {MAX_TEXT_CHARS} are allowed")]
    TooLong(usize),
    #[error("text contains a NUL character")]
    Nul,
}

impl MessageText {
    pub fn parse(text: String) -> Result<Self, InvalidText> {
        if text.trim().is_empty() {
            return Err(InvalidText::Empty);
        }
        if text.contains('\0') {
            return Err(InvalidText::Nul);
        }
        match text.chars().count() {
            chars if chars > MAX_TEXT_CHARS => Err(InvalidText::TooLong(chars)),
            _ => Ok(Self(text)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_names_round_trip() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert_eq!(Status::parse("unknown"), None);
    }

    #[test]
    fn text_is_counted_in_characters() {
        assert!(MessageText::parse("ž".repeat(MAX_TEXT_CHARS)).is_ok());
        assert_eq!(MessageText::parse("ž".repeat(4097)), Err(InvalidText::TooLong(4097)));
        assert_eq!(MessageText::parse(" \n".into()), Err(InvalidText::Empty));
        assert_eq!(MessageText::parse("a\0b".into()), Err(InvalidText::Nul));
    }
}
