//! A conversation's lines in the order they were said.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Scope, StoreError, TenantTx, messages};
use crate::domain::{
    ids::{ConversationId, MessageId},
    message::{Role, Status},
};

#[derive(Debug, Clone)]
pub struct Line {
    pub id: MessageId,
    pub seq: i32,
    pub role: Role,
    pub text: String,
    /// The customer's message that an assistant's line answers.
    pub reply_to: Option<MessageId>,
    pub metadata: Option<Value>,
    /// A customer's line only: where its answer stands.
    pub status: Option<Status>,
    pub created_at: DateTime<Utc>,
}

/// The lines after a sequence number; 0 begins with the first.
pub async fn after(
    tx: &mut TenantTx,
    conversation: ConversationId,
    seq: i32,
    limit: i64,
) -> Result<Vec<Line>, StoreError> {
    let rows = sqlx::query!(
        "select id, seq, role, text, reply_to, metadata, status, created_at from messages
         where conversation_id = $1 and seq > $2 order by seq limit $3",
        conversation.uuid(),
        seq,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Line {
                id: MessageId::from_uuid(row.id),
                seq: row.seq,
                role: Role::parse(&row.role)
                    .ok_or(StoreError::Unreadable { column: "messages.role", value: row.role })?,
                text: row.text,
                reply_to: row.reply_to.map(MessageId::from_uuid),
                metadata: row.metadata,
                status: row.status.map(messages::status).transpose()?,
                created_at: row.created_at,
            })
        })
        .collect()
}
