//! Webhook endpoints, callback URLs and every attempt to deliver to them.

use secrecy::SecretString;

use super::{Scope, StoreError, TenantTx, secrets::Column};
use crate::domain::{
    ids::{EndpointId, EventId, MessageId},
    secret::{Sealed, Vault},
};

/// Where an event goes and the secret that signs it.
#[derive(Debug, Clone)]
pub struct Receiver {
    pub url: String,
    pub secret: SecretString,
}

/// An endpoint that is still enabled. Fails with [`StoreError::Sealed`] when its secret does not open.
pub async fn endpoint(tx: &mut TenantTx, vault: &Vault, id: EndpointId) -> Result<Option<Receiver>, StoreError> {
    let place = Column::EndpointSecret.place(Some(tx.tenant()), id.uuid());
    let row = sqlx::query!("select url, secret from webhook_endpoints where id = $1 and enabled", id.uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Ok(Receiver { url: row.url, secret: vault.open(place, &Sealed::from_bytes(row.secret))? }))
        .transpose()
}

/// A message's callback URL with the tenant's secret. Fails with [`StoreError::Sealed`] when that does not open.
pub async fn callback(tx: &mut TenantTx, vault: &Vault, message: MessageId) -> Result<Option<Receiver>, StoreError> {
    let place = Column::CallbackSecret.place(Some(tx.tenant()), tx.tenant().uuid());
    let row = sqlx::query!(
        r#"select m.callback_url as "url!", t.callback_secret as secret
           from messages m join tenants t on t.id = m.tenant_id
           where m.id = $1 and m.created_at = $2 and m.callback_url is not null"#,
        message.uuid(),
        message.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| Ok(Receiver { url: row.url, secret: vault.open(place, &Sealed::from_bytes(row.secret))? }))
        .transpose()
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
        uuid::Uuid::now_v7(),
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
