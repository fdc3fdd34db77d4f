//! API keys: hashes of secrets shown once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx, tenants::Tenant};
use crate::domain::{
    access::{Permission, Scopes},
    ids::{ApiKeyId, TenantId},
};

#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    pub id: ApiKeyId,
    pub tenant: TenantId,
    pub name: &'a str,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub last_four: &'a str,
    pub scopes: Scopes,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Adds a key; returns false when the tenant already has `limit` keys that work.
pub async fn insert(connection: &mut PgConnection, key: &NewApiKey<'_>, limit: i64) -> Result<bool, StoreError> {
    let added = sqlx::query!(
        "insert into api_keys (id, tenant_id, name, hash, last_four, scopes, expires_at)
         select $1, $2, $3, $4, $5, $6, $7 where (
           select count(*) from api_keys
           where tenant_id = $2 and revoked_at is null and (expires_at is null or expires_at > now())) < $8",
        key.id.uuid(),
        key.tenant.uuid(),
        key.name,
        &key.hash[..],
        key.last_four,
        &key.scopes.names(),
        key.expires_at,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A key without its secret.
#[derive(Debug, Clone)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub name: String,
    pub last_four: String,
    pub scopes: Scopes,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
    pub replaced_by: Option<ApiKeyId>,
}

struct Row {
    id: Uuid,
    name: String,
    last_four: String,
    scopes: Vec<String>,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    replaced_by: Option<Uuid>,
}

impl TryFrom<Row> for ApiKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ApiKeyId::from_uuid(row.id),
            name: row.name,
            last_four: row.last_four,
            scopes: scopes(&row.scopes)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            replaced_by: row.replaced_by.map(ApiKeyId::from_uuid),
        })
    }
}

fn scopes(names: &[String]) -> Result<Scopes, StoreError> {
    let parse = |name: &String| {
        Permission::parse(name).ok_or_else(|| StoreError::Unreadable { column: "api_keys.scopes", value: name.clone() })
    };
    names.iter().map(parse).collect()
}

/// A key, locked until the transaction ends; `None` when the tenant has no such key.
pub async fn lock(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, last_four, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
         from api_keys where tenant_id = $1 and id = $2 for no key update",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(ApiKey::try_from).transpose()
}

/// A key; `None` when the tenant has no such key.
pub async fn find(tx: &mut TenantTx, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, name, last_four, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
         from api_keys where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(ApiKey::try_from).transpose()
}

/// Keys, newest first, after a position; those that ended too.
pub async fn list(tx: &mut TenantTx, after: Option<ApiKeyId>, limit: i64) -> Result<Vec<ApiKey>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, name, last_four, scopes, created_at, expires_at, last_used_at, revoked_at, replaced_by
         from api_keys where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant,
        after.map(ApiKeyId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(ApiKey::try_from).collect()
}

/// Ends a key `overlap` from now, or when it would have ended anyway, in favour of another.
pub async fn replace(tx: &mut TenantTx, id: ApiKeyId, by: ApiKeyId, overlap: Duration) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update api_keys set replaced_by = $3, expires_at = least(expires_at, now() + make_interval(secs => $4))
         where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
        by.uuid(),
        overlap.as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Ends a key now; one that was revoked before stays as it is.
pub async fn revoke(tx: &mut TenantTx, id: ApiKeyId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update api_keys set revoked_at = now() where tenant_id = $1 and id = $2 and revoked_at is null",
        tenant,
        id.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a key opens.
#[derive(Debug, Clone)]
pub struct Opened {
    pub key: ApiKeyId,
    pub tenant: Tenant,
    pub scopes: Scopes,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a key opens; `None` for an unknown, revoked or expired key.
pub async fn open(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<Option<Opened>, StoreError> {
    let row = sqlx::query!(
        r#"select k.id as key, k.scopes, k.expires_at,
             t.id, t.name, t.plan, t.limits, t.settings, t.enabled and not t.erasing as "enabled!"
           from api_keys k join tenants t on t.id = k.tenant_id
           where k.hash = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())"#,
        &hash[..]
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let id = TenantId::from_uuid(row.id);
        let tenant = super::tenants::tenant(id, row.name, &row.plan, row.limits, row.settings, row.enabled)?;
        Ok(Opened {
            key: ApiKeyId::from_uuid(row.key),
            tenant,
            scopes: scopes(&row.scopes)?,
            expires_at: row.expires_at,
        })
    })
    .transpose()
}
