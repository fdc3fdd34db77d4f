//! The outbox of events.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx};
use crate::domain::{
    event::{Envelope, EventType},
    ids::{ConversationId, EndpointId, EventId, MessageId},
};

/// Who may want an event.
#[derive(Debug, Clone)]
pub struct Audience {
    pub event_type: String,
    /// The message it is about, if that has a callback URL.
    pub callback: Option<MessageId>,
    /// Enabled endpoints that want its type; an empty list of types wants all.
    pub endpoints: Vec<EndpointId>,
}

/// The audience of a stored event, which is about the subject; `None` when the tenant has no such event.
pub async fn audience(tx: &mut TenantTx, id: EventId, subject: Option<Uuid>) -> Result<Option<Audience>, StoreError> {
    let tenant = tx.tenant().uuid();
    // When a message was made tells the month to look in.
    let message = subject.map(MessageId::from_uuid);
    let row = sqlx::query!(
        r#"select type, array(
             select id from webhook_endpoints
             where tenant_id = $2 and enabled and (event_types = '{}' or type = any(event_types)) order by id
           ) as "endpoints!",
           exists(
             select from messages m
             where m.id = message_id and m.id = $3 and m.created_at = $4 and callback_url is not null
           ) as "has_callback!"
           from events where id = $1"#,
        id.uuid(),
        tenant,
        message.map(MessageId::uuid),
        message.map(MessageId::created_at),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Audience {
        event_type: row.r#type,
        callback: message.filter(|_| row.has_callback),
        endpoints: row.endpoints.into_iter().map(EndpointId::from_uuid).collect(),
    }))
}

struct Row {
    id: Uuid,
    r#type: String,
    data: Value,
    created_at: DateTime<Utc>,
}

impl From<Row> for Envelope {
    fn from(row: Row) -> Self {
        let Row { id, r#type, data, created_at } = row;
        Self { id: EventId::from_uuid(id), event_type: r#type, timestamp: created_at, data }
    }
}

/// Events, newest first, after a position.
pub async fn list(
    tx: &mut TenantTx,
    event_type: Option<EventType>,
    after: Option<EventId>,
    limit: i64,
) -> Result<Vec<Envelope>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, type, data, created_at from events
         where tenant_id = $1 and ($2::text is null or type = $2) and ($3::uuid is null or id < $3)
         order by id desc limit $4",
        tenant,
        event_type.map(EventType::as_str),
        after.map(EventId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Envelope::from).collect())
}

/// Events of a conversation, newest first, from before a position.
pub async fn of_conversation(
    tx: &mut TenantTx,
    conversation: ConversationId,
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<Envelope>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, type, data, created_at from events
         where conversation_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        conversation.uuid(),
        before.map(EventId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Envelope::from).collect())
}
