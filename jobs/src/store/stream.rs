//! The log behind a message's stream: a client that lost its connection resumes from any position.

use serde_json::{Value, json};

use super::{Scope, StoreError, TenantTx};
use crate::domain::ids::{ConversationId, MessageId};

/// What a stream sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent {
    /// The message changed its status.
    Status,
    /// A piece of the answer's text.
    Delta,
    /// The completion starts again: pieces sent before are void.
    Reset,
    /// The message ended; nothing follows.
    Done,
}

impl StreamEvent {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Delta => "delta",
            Self::Reset => "reset",
            Self::Done => "done",
        }
    }
}

/// Appends to a message's log, in the order given.
///
/// One job at a time works on a message, so positions do not collide; should a stale worker write at the same
/// moment, the primary key refuses one of them and its job is tried again.
pub async fn append(
    tx: &mut TenantTx,
    conversation: ConversationId,
    message: MessageId,
    entries: &[(StreamEvent, Value)],
) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    let (events, data): (Vec<&str>, Vec<&Value>) = entries.iter().map(|(event, data)| (event.as_str(), data)).unzip();
    sqlx::query!(
        "insert into message_stream (tenant_id, conversation_id, message_id, position, event, data)
         select $1, $2, $3, last.position + entry.number, entry.event, entry.data
         from (select coalesce(max(position), 0) as position from message_stream where message_id = $3) last,
           unnest($4::text[], $5::jsonb[]) with ordinality as entry(event, data, number)",
        tenant,
        conversation.uuid(),
        message.uuid(),
        &events as _,
        &data as _,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Appends a piece of the answer while the message is being completed; returns false when it has ended. Holds the
/// message's row until the transaction ends, so that nothing follows the log's end.
pub async fn append_delta(
    tx: &mut TenantTx,
    conversation: ConversationId,
    message: MessageId,
    text: &str,
) -> Result<bool, StoreError> {
    let completing = sqlx::query_scalar!(
        "select 1 from messages where id = $1 and created_at = $2 and status = 'completing' for share",
        message.uuid(),
        message.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    if completing.is_none() {
        return Ok(false);
    }
    append(tx, conversation, message, &[(StreamEvent::Delta, json!({ "text": text }))]).await?;
    Ok(true)
}

/// Whether pieces of an earlier completion were streamed and not yet voided.
pub async fn has_deltas(tx: &mut TenantTx, message: MessageId) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce((select event = 'delta' from message_stream
             where message_id = $1 and event in ('delta', 'reset') order by position desc limit 1), false) as "any!""#,
        message.uuid()
    )
    .fetch_one(tx.connection())
    .await?)
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    pub position: i32,
    pub event: String,
    pub data: Value,
}

/// Most entries read at once.
pub const PAGE: i64 = 500;

/// The next [`PAGE`] entries after a position, in order.
pub async fn after(tx: &mut TenantTx, message: MessageId, position: i32) -> Result<Vec<Entry>, StoreError> {
    Ok(sqlx::query_as!(
        Entry,
        "select position, event, data from message_stream
         where message_id = $1 and position > $2 order by position limit $3",
        message.uuid(),
        position,
        PAGE,
    )
    .fetch_all(tx.connection())
    .await?)
}
