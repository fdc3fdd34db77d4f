//! The log of requests to the API.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx};
use crate::domain::ids::{ApiKeyId, RequestLogId, TenantId};

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct NewEntry {
    pub id: RequestLogId,
    /// Nobody's, when no valid credential came with the request.
    pub tenant: Option<TenantId>,
    pub key: Option<ApiKeyId>,
    pub request_id: String,
    pub method: &'static str,
    pub route: String,
    pub status: u16,
    pub duration_us: i64,
}

/// Writes entries. Those of a tenant that was erased meanwhile are nobody's.
pub async fn insert(tx: &mut SystemTx, entries: &[NewEntry]) -> Result<(), StoreError> {
    fn column<T>(entries: &[NewEntry], value: impl Fn(&NewEntry) -> T) -> Vec<T> {
        entries.iter().map(value).collect()
    }
    sqlx::query!(
        "insert into api_logs (id, created_at, tenant_id, api_key_id, request_id, method, route, status, duration_us)
         select e.id, e.created_at, t.id, e.api_key_id, e.request_id, e.method, e.route, e.status, e.duration_us
         from unnest(
           $1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::smallint[],
           $9::bigint[]
         ) as e (id, created_at, tenant_id, api_key_id, request_id, method, route, status, duration_us)
         left join tenants t on t.id = e.tenant_id",
        &column(entries, |entry| entry.id.uuid()),
        &column(entries, |entry| entry.id.created_at()),
        &column(entries, |entry| entry.tenant.map(TenantId::uuid)) as &[Option<Uuid>],
        &column(entries, |entry| entry.key.map(ApiKeyId::uuid)) as &[Option<Uuid>],
        &column(entries, |entry| entry.request_id.clone()),
        &column(entries, |entry| entry.method.to_owned()),
        &column(entries, |entry| entry.route.clone()),
        &column(entries, |entry| i16::try_from(entry.status).unwrap_or(599)),
        &column(entries, |entry| entry.duration_us),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A request of a tenant.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: RequestLogId,
    pub created_at: DateTime<Utc>,
    pub key: Option<ApiKeyId>,
    pub request_id: String,
    pub method: String,
    pub route: String,
    pub status: i16,
    pub duration_us: i64,
}

/// Requests, newest first, after a position.
pub async fn list(tx: &mut TenantTx, after: Option<RequestLogId>, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        "select id, created_at, api_key_id, request_id, method, route, status, duration_us from api_logs
         where tenant_id = $1 and ($2::timestamptz is null or (created_at, id) < ($2, $3))
         order by created_at desc, id desc limit $4",
        tenant,
        after.map(RequestLogId::created_at),
        after.map(RequestLogId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    let entries = rows.into_iter().map(|row| Entry {
        id: RequestLogId::from_uuid(row.id),
        created_at: row.created_at,
        key: row.api_key_id.map(ApiKeyId::from_uuid),
        request_id: row.request_id,
        method: row.method,
        route: row.route,
        status: row.status,
        duration_us: row.duration_us,
    });
    Ok(entries.collect())
}
