//! Stripe events, stored once before they are acknowledged.

use serde_json::Value;

use super::{Scope, StoreError, SystemTx};
use crate::domain::ids::TenantId;

/// Stores an event; returns false when it was stored before.
pub async fn insert(tx: &mut SystemTx, id: &str, event_type: &str, payload: &Value) -> Result<bool, StoreError> {
    let stored = sqlx::query!(
        "insert into stripe_events (id, type, payload) values ($1, $2, $3) on conflict (id) do nothing",
        id,
        event_type,
        payload,
    )
    .execute(tx.connection())
    .await?;
    Ok(stored.rows_affected() == 1)
}

pub async fn payload(tx: &mut SystemTx, id: &str) -> Result<Option<Value>, StoreError> {
    Ok(sqlx::query_scalar!("select payload from stripe_events where id = $1", id)
        .fetch_optional(tx.connection())
        .await?)
}

/// Notes what became of an event and whom it was about.
pub async fn finish(tx: &mut SystemTx, id: &str, tenant: Option<TenantId>, outcome: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "update stripe_events set tenant_id = $2, outcome = $3, processed_at = now() where id = $1",
        id,
        tenant.map(TenantId::uuid),
        outcome,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
