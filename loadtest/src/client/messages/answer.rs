//! What a message looks like when it is read back: the answer, where it comes from, and how it came about.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::MessageStatus;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message {
    pub id: String,
    pub conversation_id: String,
    pub status: MessageStatus,
    /// What was asked.
    pub text: Option<String>,
    pub answer: Option<Answer>,
    pub error: Option<Value>,
    pub timings: Option<Value>,
    pub links: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Absent when the answer is withheld.
    pub text: Option<String>,
    pub sources: Vec<Source>,
    pub confidence: Option<Confidence>,
    pub usage: Option<Usage>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Source {
    pub document_id: String,
    pub document_name: String,
    pub chunk_id: String,
    pub content: String,
    pub similarity: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Confidence {
    /// From 0 to 1.
    pub score: f64,
    pub level: String,
    pub action: String,
    pub escalated: bool,
    pub signals: Value,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    pub total_tokens: u64,
    pub cost_usd: f64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Timeline {
    pub message_id: String,
    pub entries: Vec<TimelineEntry>,
}

/// One job, event or delivery in the life of a message.
#[derive(Clone, Debug, Deserialize)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    pub kind: String,
    pub name: String,
    pub wait_ms: Option<f64>,
    pub run_ms: Option<f64>,
    pub attempt: Option<u64>,
    pub outcome: Option<String>,
    pub detail: Option<Value>,
}
