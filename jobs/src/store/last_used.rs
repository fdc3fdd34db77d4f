//! When credentials were used, to the minute.

use uuid::Uuid;

use super::{Scope, StoreError, SystemTx};

/// Credentials that were used a moment ago, of all tenants.
#[derive(Debug, Clone, Default)]
pub struct Used {
    pub api_keys: Vec<Uuid>,
    pub operator_keys: Vec<Uuid>,
    pub sessions: Vec<Uuid>,
}

/// Notes the use of each; one that was noted within the last minute, by whatever process, is left alone. A row that
/// another process writes at this moment is left to it.
pub async fn note(tx: &mut SystemTx, used: &Used) -> Result<(), StoreError> {
    if !used.api_keys.is_empty() {
        sqlx::query!(
            "update api_keys set last_used_at = now() where id in (
               select id from api_keys
               where id = any($1) and (last_used_at is null or last_used_at < now() - interval '1 minute')
               for no key update skip locked)",
            &used.api_keys
        )
        .execute(tx.connection())
        .await?;
    }
    if !used.operator_keys.is_empty() {
        sqlx::query!(
            "update operator_keys set last_used_at = now() where id in (
               select id from operator_keys
               where id = any($1) and (last_used_at is null or last_used_at < now() - interval '1 minute')
               for no key update skip locked)",
            &used.operator_keys
        )
        .execute(tx.connection())
        .await?;
    }
    if !used.sessions.is_empty() {
        sqlx::query!(
            "update sessions set last_used_at = now() where id in (
               select id from sessions where id = any($1) and last_used_at < now() - interval '1 minute'
               for no key update skip locked)",
            &used.sessions
        )
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}
