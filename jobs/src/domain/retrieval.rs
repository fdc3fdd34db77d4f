//! What retrieval finds and how two rankings become one.

mod diversity;
mod fusion;

use serde::{Deserialize, Serialize};

use super::{
    ids::DocumentId,
    message::{Role, Turn},
};

pub use diversity::distinct_first;
pub use fusion::{Fusion, Ranked, fuse};

/// Sources given to a completion unless the caller asks for another number.
pub const DEFAULT_LIMIT: usize = 5;
/// Most results of one search.
pub const MAX_LIMIT: usize = 50;

/// A passage the answer may rest on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub document_id: DocumentId,
    pub document_name: String,
    pub chunk_id: String,
    pub content: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heading: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// The passages that stand directly before and after it, for a model to read on in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Cosine similarity to the question, −1 to 1.
    pub similarity: f32,
    /// Fused score; comparable only within one search. A reranker orders by its own.
    pub score: f32,
}

/// The text to search for: the question, preceded by the customer's previous one when the question alone
/// says too little ("and how long does that take?").
pub fn contextual_query(history: &[Turn], question: &str) -> String {
    let previous = history.iter().rev().find(|turn| turn.role == Role::Customer);
    match previous {
        Some(turn) if is_elliptical(question) => format!("{} {question}", turn.text),
        _ => question.to_owned(),
    }
}

/// A question that leans on what was said before: few words of its own, or it opens with a connective.
fn is_elliptical(question: &str) -> bool {
    const OPENERS: [&str; 8] = ["and", "but", "what about", "how about", "und", "et", "y", "a "];
    let lower = question.trim().to_lowercase();
    super::extractive::terms(question).len() <= 3
        || OPENERS.iter().any(|opener| lower.starts_with(&format!("{} ", opener.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follow_up_brings_its_predecessor() {
        let history = [
            Turn { role: Role::Customer, text: "Can I return a tent?".into() },
            Turn { role: Role::Assistant, text: "Yes.".into() },
        ];
        assert_eq!(
            contextual_query(&history, "And how long do I have?"),
            "Can I return a tent? And how long do I have?"
        );
        let own = "Which payment methods do you accept for orders from Switzerland?";
        assert_eq!(contextual_query(&history, own), own);
        assert_eq!(contextual_query(&[], "And when?"), "And when?");
    }
}
