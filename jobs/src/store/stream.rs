//! The log behind a message's stream: a client that lost its connection resumes from any position.

use serde_json::Value;

use super::{Scope, StoreError, TenantTx};
use crate::domain::ids::MessageId;

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

/// Whether a message is being completed still. Holds its row until the transaction ends, so that nothing follows the log's end.
pub async fn is_open(tx: &mut TenantTx, message: MessageId) -> Result<bool, StoreError> {
    let completing = sqlx::query_scalar!(
        "select 1 from messages where id = $1 and created_at = $2 and status = 'completing' for share",
        message.uuid(),
        message.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(completing.is_some())
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
