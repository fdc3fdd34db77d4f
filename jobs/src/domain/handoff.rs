//! When a human takes over.

use serde::{Deserialize, Serialize};

/// Why a conversation was escalated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    LowConfidence,
    CustomerRequest,
    NoAnswer,
}

impl Reason {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LowConfidence => "low_confidence",
            Self::CustomerRequest => "customer_request",
            Self::NoAnswer => "no_answer",
        }
    }

    /// What the customer is told.
    pub const fn notice(self) -> &'static str {
        match self {
            Self::LowConfidence => {
                "I am not certain enough to answer this. I have passed your question to a colleague who will get back to you."
            }
            Self::CustomerRequest => "I have passed your conversation to a colleague who will get back to you.",
            Self::NoAnswer => {
                "I could not find this in the documents. I have passed your question to a colleague who will get back to you."
            }
        }
    }
}

/// Whether the customer asks for a person, in English, German, French, Spanish, Italian or Croatian.
pub fn asks_for_human(text: &str) -> bool {
    const PHRASES: [&str; 30] = [
        "talk to a human",
        "talk to a person",
        "talk to someone",
        "talk to an agent",
        "speak to a human",
        "speak to a person",
        "speak to someone",
        "speak to an agent",
        "speak with a human",
        "speak with an agent",
        "speak with someone",
        "human agent",
        "real person",
        "live agent",
        "mit einem menschen",
        "mit einem mitarbeiter",
        "echten menschen",
        "einen menschen sprechen",
        "parler à un humain",
        "parler à une personne",
        "parler à quelqu'un",
        "un conseiller",
        "hablar con una persona",
        "hablar con un humano",
        "hablar con un agente",
        "parlare con una persona",
        "parlare con un operatore",
        "razgovarati s osobom",
        "razgovarati s čovjekom",
        "pričati s agentom",
    ];
    let lower = text.to_lowercase();
    PHRASES.iter().any(|phrase| lower.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_for_a_person_is_heard_in_several_languages() {
        for text in [
            "Can I speak to a HUMAN please?",
            "Ich möchte mit einem Mitarbeiter reden",
            "Quiero hablar con una persona",
        ] {
            assert!(asks_for_human(text), "{text}");
        }
        for text in ["How do I return a tent?", "Is this tent for one person?"] {
            assert!(!asks_for_human(text), "{text}");
        }
    }
}
