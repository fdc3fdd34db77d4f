//! Webhook endpoints as their owner manages them; delivering to them is in [`super::webhooks`].

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, secrets::Column};
use crate::domain::{event::EventType, ids::EndpointId, secret::Vault};

#[derive(Debug, Clone)]
pub struct NewEndpoint<'a> {
    pub id: EndpointId,
    pub url: &'a str,
    /// Empty: all.
    pub event_types: &'a [EventType],
    /// `whsec_…`, signs deliveries.
    pub secret: &'a SecretString,
}

/// Adds an endpoint; returns false when the tenant already has `limit` of them.
pub async fn insert(
    tx: &mut TenantTx,
    vault: &Vault,
    endpoint: &NewEndpoint<'_>,
    limit: i64,
) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let secret = vault.seal(Column::EndpointSecret.place(Some(tx.tenant()), endpoint.id.uuid()), endpoint.secret);
    let types: Vec<String> = endpoint.event_types.iter().map(|kind| kind.as_str().to_owned()).collect();
    let added = sqlx::query!(
        "insert into webhook_endpoints (id, tenant_id, url, event_types, secret)
         select $1, $2, $3, $4, $5 where (select count(*) from webhook_endpoints where tenant_id = $2) < $6",
        endpoint.id.uuid(),
        tenant,
        endpoint.url,
        &types,
        secret.as_bytes(),
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// An endpoint without its secret.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub id: EndpointId,
    pub url: String,
    pub event_types: Vec<String>,
    pub enabled: bool,
    pub disabled_reason: Option<String>,
    pub created_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    url: String,
    event_types: Vec<String>,
    enabled: bool,
    disabled_reason: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            id: EndpointId::from_uuid(row.id),
            url: row.url,
            event_types: row.event_types,
            enabled: row.enabled,
            disabled_reason: row.disabled_reason,
            created_at: row.created_at,
        }
    }
}

/// An endpoint; `None` when the tenant has no such endpoint.
pub async fn find(tx: &mut TenantTx, id: EndpointId) -> Result<Option<Endpoint>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, url, event_types, enabled, disabled_reason, created_at
         from webhook_endpoints where tenant_id = $1 and id = $2",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Endpoint::from))
}

/// Endpoints, newest first, after a position.
pub async fn list(tx: &mut TenantTx, after: Option<EndpointId>, limit: i64) -> Result<Vec<Endpoint>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, url, event_types, enabled, disabled_reason, created_at from webhook_endpoints
         where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant,
        after.map(EndpointId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Endpoint::from).collect())
}

/// Removes an endpoint; returns false when the tenant has no such endpoint.
pub async fn delete(tx: &mut TenantTx, id: EndpointId) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let deleted = sqlx::query!("delete from webhook_endpoints where tenant_id = $1 and id = $2", tenant, id.uuid())
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected() == 1)
}
