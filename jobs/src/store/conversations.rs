//! Conversations: who answers, and which message has the turn.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx};
use crate::domain::ids::{ConversationId, MessageId};

/// A conversation's row, locked until the transaction ends.
#[derive(Debug, Clone)]
pub struct Locked {
    pub id: ConversationId,
    pub human: bool,
    pub epoch: i32,
    pub active: Option<MessageId>,
}

/// Locks a conversation; `None` when it is gone. Rows that refer to it can still be written meanwhile.
pub async fn lock(tx: &mut TenantTx, id: ConversationId) -> Result<Option<Locked>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        "select handler, epoch, active_message_id from conversations where tenant_id = $1 and id = $2 for no key update",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Locked {
        id,
        human: row.handler == "human",
        epoch: row.epoch,
        active: row.active_message_id.map(MessageId::from_uuid),
    }))
}

/// Takes the turn of a message that is gone.
pub async fn free_turn(tx: &mut TenantTx, id: ConversationId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update conversations set active_message_id = null where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Marks a conversation as waiting for a human and bumps its epoch; answers begun before are discarded.
pub async fn escalate(tx: &mut TenantTx, id: ConversationId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update conversations set status = 'escalated', epoch = epoch + 1, updated_at = now()
         where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A conversation as its owner sees it.
#[derive(Debug, Clone)]
pub struct Conversation {
    pub id: ConversationId,
    pub contact_id: Option<String>,
    pub contact_name: Option<String>,
    pub status: String,
    pub handler: String,
    /// Lines of its transcript.
    pub lines: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    contact_id: Option<String>,
    contact_name: Option<String>,
    status: String,
    handler: String,
    last_seq: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Conversation {
    fn from(row: Row) -> Self {
        Self {
            id: ConversationId::from_uuid(row.id),
            contact_id: row.contact_id,
            contact_name: row.contact_name,
            status: row.status,
            handler: row.handler,
            lines: row.last_seq,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A conversation; `None` when the tenant has no such conversation.
pub async fn find(tx: &mut TenantTx, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, contact_id, contact_name, status, handler, last_seq, created_at, updated_at
         from conversations where tenant_id = $1 and id = $2",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Conversation::from))
}

/// Conversations by their last change, newest first, after a position.
pub async fn list(
    tx: &mut TenantTx,
    status: Option<&str>,
    after: Option<(DateTime<Utc>, ConversationId)>,
    limit: i64,
) -> Result<Vec<Conversation>, StoreError> {
    let tenant = tx.tenant().uuid();
    let (changed, id) = after.unzip();
    let rows = sqlx::query_as!(
        Row,
        "select id, contact_id, contact_name, status, handler, last_seq, created_at, updated_at
         from conversations
         where tenant_id = $1 and ($2::text is null or status = $2)
           and ($3::timestamptz is null or (updated_at, id) < ($3, $4))
         order by updated_at desc, id desc limit $5",
        tenant,
        status,
        changed,
        id.map(ConversationId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Conversation::from).collect())
}

/// Conversations of a contact, or of all, newest first, from before a position. Goes by id, which no change of a
/// conversation moves.
pub async fn walk(
    tx: &mut TenantTx,
    contact: Option<&str>,
    before: Option<ConversationId>,
    limit: i64,
) -> Result<Vec<Conversation>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, contact_id, contact_name, status, handler, last_seq, created_at, updated_at
         from conversations
         where tenant_id = $1 and ($2::text is null or contact_id = $2) and ($3::uuid is null or id < $3)
         order by id desc limit $4",
        tenant,
        contact,
        before.map(ConversationId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Conversation::from).collect())
}

/// Whether the tenant has a conversation with this contact.
pub async fn has_contact(tx: &mut TenantTx, contact: &str) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (select from conversations where tenant_id = $1 and contact_id = $2) as "has!""#,
        tenant,
        contact,
    )
    .fetch_one(tx.connection())
    .await?)
}
