//! Webhook endpoints, callback URLs and every attempt to deliver to them.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, secrets::Column};
use crate::domain::{
    event::Envelope,
    ids::{EndpointId, EventId, MessageId},
    secret::{self, Sealed, Vault},
};

/// Where an event goes and the secret that signs it.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub url: String,
    pub secret: SecretString,
}

/// An event on its way to a receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub event: Envelope,
    /// What the event is about, when that is a message.
    pub message: Option<MessageId>,
    pub receiver: Receiver,
}

struct Row {
    r#type: String,
    message_id: Option<Uuid>,
    data: Value,
    created_at: DateTime<Utc>,
    url: String,
    secret: Vec<u8>,
}

impl Row {
    fn read(self, id: EventId, vault: &Vault, place: secret::Place) -> Result<Delivery, StoreError> {
        let Self { r#type, message_id, data, created_at, url, secret } = self;
        Ok(Delivery {
            event: Envelope { id, event_type: r#type, timestamp: created_at, data },
            message: message_id.map(MessageId::from_uuid),
            receiver: Receiver { url, secret: vault.open(place, &Sealed::from_bytes(secret))? },
        })
    }
}

/// A delivery to an endpoint; `None` when the event is gone, or the endpoint is gone or off. Fails with [`StoreError::Sealed`] when its
/// secret does not open.
pub async fn to_endpoint(
    tx: &mut TenantTx,
    vault: &Vault,
    event: EventId,
    endpoint: EndpointId,
) -> Result<Option<Delivery>, StoreError> {
    let place = Column::EndpointSecret.place(Some(tx.tenant()), endpoint.uuid());
    let row = sqlx::query_as!(
        Row,
        "select e.type, e.message_id, e.data, e.created_at, w.url, w.secret
         from events e cross join webhook_endpoints w where e.id = $1 and w.id = $2 and w.enabled",
        event.uuid(),
        endpoint.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| row.read(event, vault, place)).transpose()
}

/// A delivery to a message's callback URL, signed with the tenant's secret; `None` when the event or the message is gone. Fails with
/// [`StoreError::Sealed`] when the secret does not open.
pub async fn to_callback(
    tx: &mut TenantTx,
    vault: &Vault,
    event: EventId,
    message: MessageId,
) -> Result<Option<Delivery>, StoreError> {
    let place = Column::CallbackSecret.place(Some(tx.tenant()), tx.tenant().uuid());
    let row = sqlx::query_as!(
        Row,
        r#"select e.type, e.message_id, e.data, e.created_at, m.callback_url as "url!", t.callback_secret as secret
           from events e cross join messages m join tenants t on t.id = m.tenant_id
           where e.id = $1 and m.id = $2 and m.created_at = $3 and m.callback_url is not null"#,
        event.uuid(),
        message.uuid(),
        message.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| row.read(event, vault, place)).transpose()
}

/// Switches an endpoint off; returns whether it was this call that did.
pub async fn disable(tx: &mut TenantTx, id: EndpointId, reason: &str) -> Result<bool, StoreError> {
    let disabled = sqlx::query!(
        "update webhook_endpoints set enabled = false, disabled_reason = $2 where id = $1 and enabled",
        id.uuid(),
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(disabled.rows_affected() == 1)
}

/// One try to deliver.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    pub event: EventId,
    /// `None` for a callback.
    pub endpoint: Option<EndpointId>,
    pub message: Option<MessageId>,
    pub url: &'a str,
    /// From 1.
    pub number: i32,
    pub status: Option<i32>,
    pub error: Option<&'a str>,
    pub response: Option<&'a str>,
    pub duration_ms: i32,
}

pub async fn record_attempt(tx: &mut TenantTx, attempt: &Attempt<'_>) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into webhook_attempts
           (id, tenant_id, event_id, endpoint_id, message_id, url, attempt, status, error, response, duration_ms)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        Uuid::now_v7(),
        tenant,
        attempt.event.uuid(),
        attempt.endpoint.map(EndpointId::uuid),
        attempt.message.map(MessageId::uuid),
        attempt.url,
        attempt.number,
        attempt.status,
        attempt.error,
        // Postgres text holds no NUL.
        attempt.response.map(|body| body.replace('\0', "")),
        attempt.duration_ms,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
