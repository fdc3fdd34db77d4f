//! A message as the API shows it.

use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        confidence::Confidence,
        ids::{ConversationId, MessageId},
        message::{self, Status},
    },
    store::answers::{self, Answered, Times},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Links;
use crate::{openapi::schemas, routes::source::Source};

#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    #[schema(value_type = String, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    pub id: MessageId,
    #[schema(value_type = String, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    pub conversation_id: ConversationId,
    #[schema(schema_with = schemas::message_status)]
    pub status: Status,
    /// What was asked.
    #[schema(example = "How long do I have to return a tent?")]
    pub text: String,
    /// Null until the message is answered, withheld or escalated, and when it failed.
    pub answer: Option<Answer>,
    /// Why the message failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Value>,
    pub timings: Timings,
    pub created_at: DateTime<Utc>,
    pub links: Links,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    /// What the customer was told; null when the answer is withheld.
    #[schema(example = "You can return a tent within 30 days of delivery [1].")]
    pub text: Option<String>,
    pub sources: Vec<Source>,
    /// Null when no answer was drafted, as when the customer asked for a human.
    #[schema(schema_with = schemas::confidence)]
    pub confidence: Option<Confidence>,
    /// Null when no model was asked.
    pub usage: Option<Usage>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    #[schema(example = "metachat/extractive")]
    pub model: String,
    pub prompt_tokens: i32,
    pub completion_tokens: i32,
    pub total_tokens: i32,
    /// To the millionth of a dollar.
    #[schema(example = 0.000184)]
    pub cost_usd: f64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageFailure)]
pub struct Failure {
    /// Stable.
    #[schema(example = "completion_failed")]
    pub code: String,
    /// For people.
    pub detail: String,
}

/// How long each stage took, in milliseconds; null for one that was not reached.
#[derive(Debug, Serialize, ToSchema)]
pub struct Timings {
    /// From the message's acceptance to its turn in the conversation.
    pub queued_ms: Option<i64>,
    pub retrieval_ms: Option<i64>,
    pub completion_ms: Option<i64>,
    pub scoring_ms: Option<i64>,
    /// From acceptance to the end.
    pub total_ms: Option<i64>,
}

impl From<Answered> for Message {
    fn from(stored: Answered) -> Self {
        let has_answer = matches!(stored.status, Status::Answered | Status::Withheld | Status::Escalated);
        let answer = has_answer.then(|| Answer {
            text: stored.answer,
            sources: stored.sources.into_iter().map(Source::from).collect(),
            confidence: stored.confidence,
            usage: stored.usage.map(Usage::from),
        });
        Self {
            id: stored.id,
            conversation_id: stored.conversation,
            status: stored.status,
            text: stored.text,
            answer,
            error: stored.error.map(Failure::from),
            metadata: stored.metadata,
            timings: Timings::from(stored.times),
            created_at: stored.times.created,
            links: Links::of(stored.id, stored.conversation),
        }
    }
}

impl From<answers::Usage> for Usage {
    fn from(used: answers::Usage) -> Self {
        Self {
            model: used.model,
            prompt_tokens: used.prompt_tokens,
            completion_tokens: used.completion_tokens,
            total_tokens: used.prompt_tokens.saturating_add(used.completion_tokens),
            cost_usd: used.cost_microusd as f64 / 1e6,
        }
    }
}

impl From<message::Failure> for Failure {
    fn from(failure: message::Failure) -> Self {
        Self { code: failure.code, detail: failure.detail }
    }
}

impl From<Times> for Timings {
    fn from(times: Times) -> Self {
        // The first time is the api's clock, the others are the database's: a small skew is no negative duration.
        let between =
            |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| Some((to? - from?).num_milliseconds().max(0));
        Self {
            queued_ms: between(Some(times.created), times.turn),
            retrieval_ms: between(times.turn, times.retrieved),
            completion_ms: between(times.retrieved, times.completed),
            scoring_ms: between(times.completed, times.finished),
            total_ms: between(Some(times.created), times.finished),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn stages_that_were_not_reached_have_no_time() {
        let created = DateTime::UNIX_EPOCH;
        let at = |ms| Some(created + TimeDelta::milliseconds(ms));
        let times = Times { created, turn: at(-2), retrieved: at(40), completed: None, finished: at(90) };
        let timings = Timings::from(times);
        assert_eq!(timings.queued_ms, Some(0));
        assert_eq!(timings.retrieval_ms, Some(42));
        assert_eq!((timings.completion_ms, timings.scoring_ms), (None, None));
        assert_eq!(timings.total_ms, Some(90));
    }
}
