//! The operator's keys: hashes of secrets shown once, out of every tenant's sight.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx};
use crate::domain::ids::OperatorKeyId;

#[derive(Debug, Clone)]
pub struct NewOperatorKey<'a> {
    pub id: OperatorKeyId,
    pub name: &'a str,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub last_four: &'a str,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a key; returns false when there are `limit` keys that work already.
pub async fn insert(tx: &mut SystemTx, key: &NewOperatorKey<'_>, limit: i64) -> Result<bool, StoreError> {
    let added = sqlx::query!(
        "insert into operator_keys (id, name, hash, last_four, expires_at)
         select $1, $2, $3, $4, $5 where (
           select count(*) from operator_keys
           where revoked_at is null and (expires_at is null or expires_at > now())) < $6",
        key.id.uuid(),
        key.name,
        &key.hash[..],
        key.last_four,
        key.expires_at,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A key without its secret.
#[derive(Debug, Clone)]
pub struct OperatorKey {
    pub id: OperatorKeyId,
    pub name: String,
    pub last_four: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub replaced_by: Option<OperatorKeyId>,
}

struct Row {
    id: Uuid,
    name: String,
    last_four: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    replaced_by: Option<Uuid>,
}

impl From<Row> for OperatorKey {
    fn from(row: Row) -> Self {
        Self {
            id: OperatorKeyId::from_uuid(row.id),
            name: row.name,
            last_four: row.last_four,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            replaced_by: row.replaced_by.map(OperatorKeyId::from_uuid),
        }
    }
}

/// A key, locked until the transaction ends.
pub async fn lock(tx: &mut SystemTx, id: OperatorKeyId) -> Result<Option<OperatorKey>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, name, last_four, created_at, expires_at, last_used_at, revoked_at, replaced_by
         from operator_keys where id = $1 for no key update",
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(OperatorKey::from))
}

/// Keys, newest first, after a position; those that ended too.
pub async fn list(tx: &mut SystemTx, after: Option<OperatorKeyId>, limit: i64) -> Result<Vec<OperatorKey>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, name, last_four, created_at, expires_at, last_used_at, revoked_at, replaced_by
         from operator_keys where $1::uuid is null or id < $1 order by id desc limit $2",
        after.map(OperatorKeyId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(OperatorKey::from).collect())
}

/// Ends a key `overlap` from now, or when it would have ended anyway, in favour of another.
pub async fn replace(
    tx: &mut SystemTx,
    id: OperatorKeyId,
    by: OperatorKeyId,
    overlap: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update operator_keys set replaced_by = $2, expires_at = least(expires_at, now() + make_interval(secs => $3))
         where id = $1",
        id.uuid(),
        by.uuid(),
        overlap.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a key now; one that was revoked before stays as it is.
pub async fn revoke(tx: &mut SystemTx, id: OperatorKeyId) -> Result<(), StoreError> {
    sqlx::query!("update operator_keys set revoked_at = now() where id = $1 and revoked_at is null", id.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// A key that works.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    pub key: OperatorKeyId,
    pub expires_at: Option<DateTime<Utc>>,
}

/// The key with this hash; `None` for an unknown, revoked or expired one.
pub async fn open(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<Option<Opened>, StoreError> {
    let row = sqlx::query!(
        "select id, expires_at from operator_keys
         where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())",
        &hash[..]
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Opened { key: OperatorKeyId::from_uuid(row.id), expires_at: row.expires_at }))
}
