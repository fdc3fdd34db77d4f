//! A customer's message with everything that is known of its answer, as its owner sees it.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, messages};
use crate::domain::{
    confidence::Confidence,
    ids::{ConversationId, MessageId},
    message::{Failure, Status},
    retrieval::Source,
};

#[derive(Debug, Clone)]
pub struct Answered {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub status: Status,
    pub text: String,
    pub metadata: Option<Value>,
    /// What the customer was told.
    pub answer: Option<String>,
    pub sources: Vec<Source>,
    /// What retrieval found and how long it took.
    pub retrieval: Option<Value>,
    pub confidence: Option<Confidence>,
    pub usage: Option<Usage>,
    pub error: Option<Failure>,
    pub times: Times,
}

/// What the completion took.
#[derive(Debug, Clone)]
pub struct Usage {
    pub model: String,
    pub prompt_tokens: i32,
    pub completion_tokens: i32,
    pub cost_microusd: i64,
}

/// When each stage ended; `None` for one that was not reached.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub created: DateTime<Utc>,
    pub turn: Option<DateTime<Utc>>,
    pub retrieved: Option<DateTime<Utc>>,
    pub completed: Option<DateTime<Utc>>,
    pub finished: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    conversation_id: Uuid,
    status: String,
    text: String,
    metadata: Option<Value>,
    answer: Option<String>,
    sources: Option<Value>,
    retrieval: Option<Value>,
    confidence: Option<Value>,
    error: Option<Value>,
    model: Option<String>,
    prompt_tokens: Option<i32>,
    completion_tokens: Option<i32>,
    cost_microusd: Option<i64>,
    created_at: DateTime<Utc>,
    turn_at: Option<DateTime<Utc>>,
    retrieved_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Answered {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: MessageId::from_uuid(row.id),
            conversation: ConversationId::from_uuid(row.conversation_id),
            status: messages::status(row.status)?,
            text: row.text,
            metadata: row.metadata,
            answer: row.answer,
            sources: row.sources.map(serde_json::from_value).transpose()?.unwrap_or_default(),
            retrieval: row.retrieval,
            confidence: row.confidence.map(serde_json::from_value).transpose()?,
            usage: row.model.map(|model| Usage {
                model,
                prompt_tokens: row.prompt_tokens.unwrap_or_default(),
                completion_tokens: row.completion_tokens.unwrap_or_default(),
                cost_microusd: row.cost_microusd.unwrap_or_default(),
            }),
            error: row.error.map(serde_json::from_value).transpose()?,
            times: Times {
                created: row.created_at,
                turn: row.turn_at,
                retrieved: row.retrieved_at,
                completed: row.completed_at,
                finished: row.finished_at,
            },
        })
    }
}

/// A customer's message; `None` when the tenant has no such message.
pub async fn find(tx: &mut TenantTx, id: MessageId) -> Result<Option<Answered>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, conversation_id, status as "status!", text, metadata, answer, sources, retrieval, confidence, error,
             model, prompt_tokens, completion_tokens, cost_microusd,
             created_at, turn_at, retrieved_at, completed_at, finished_at
           from messages where id = $1 and created_at = $2 and role = 'customer'"#,
        id.uuid(),
        id.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(Answered::try_from).transpose()
}

/// The customer's messages of a conversation among the lines after one sequence number, up to another.
pub async fn between(
    tx: &mut TenantTx,
    conversation: ConversationId,
    after: i32,
    until: i32,
) -> Result<Vec<Answered>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, conversation_id, status as "status!", text, metadata, answer, sources, retrieval, confidence, error,
             model, prompt_tokens, completion_tokens, cost_microusd,
             created_at, turn_at, retrieved_at, completed_at, finished_at
           from messages where conversation_id = $1 and seq > $2 and seq <= $3 and role = 'customer' order by seq"#,
        conversation.uuid(),
        after,
        until,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Answered::try_from).collect()
}

/// Where a message stands, read cheaply while somebody waits for its end; `None` as in [`find`].
pub async fn status(tx: &mut TenantTx, id: MessageId) -> Result<Option<Status>, StoreError> {
    let status = sqlx::query_scalar!(
        r#"select status as "status!" from messages where id = $1 and created_at = $2 and role = 'customer'"#,
        id.uuid(),
        id.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    status.map(messages::status).transpose()
}
