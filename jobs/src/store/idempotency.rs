//! Saved responses of requests that carry an `Idempotency-Key`.

use serde_json::Value;

use super::{Scope, StoreError, TenantTx};

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Never seen: the caller goes on and saves its response in this transaction.
    New,
    /// Another request with this key has not finished.
    InFlight,
    /// The same request finished with this response.
    Replay(Value),
    /// Another request used the key.
    Mismatch,
}

/// Claims a key until the transaction ends. `fingerprint` is the SHA-256 of route and body.
pub async fn claim(tx: &mut TenantTx, key: &str, fingerprint: &[u8; 32]) -> Result<Known, StoreError> {
    let tenant = tx.tenant().uuid();
    let free = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended($1::text || ':' || $2, 0)) as "free!""#,
        tenant.to_string(),
        key
    )
    .fetch_one(tx.connection())
    .await?;
    if !free {
        return Ok(Known::InFlight);
    }
    let saved = sqlx::query!(
        "select fingerprint, response from idempotency_keys where tenant_id = $1 and key = $2",
        tenant,
        key
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(match saved {
        None => Known::New,
        Some(saved) if saved.fingerprint == fingerprint => Known::Replay(saved.response),
        Some(_) => Known::Mismatch,
    })
}

pub async fn save(tx: &mut TenantTx, key: &str, fingerprint: &[u8; 32], response: &Value) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into idempotency_keys (tenant_id, key, fingerprint, response) values ($1, $2, $3, $4)",
        tenant,
        key,
        &fingerprint[..],
        response,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
