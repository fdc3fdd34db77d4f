//! Dead letters: looked at, discarded, and brought back into the ledger.
//!
//! Every list and every walk goes along `(died_at, id)` from a position on, so its work is that of one batch.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

pub use super::jobs::Position;
use super::{StoreError, jobs::START};
use crate::domain::ids::{JobId, TenantId};

/// The priority of jobs that a replay brings back: behind every fresh job of the same tenant and kind.
pub const REPLAYED: u8 = 9;

/// A job that gave up.
#[derive(Debug, Clone)]
pub struct DeadJob {
    pub id: JobId,
    /// `None` for the platform's own.
    pub tenant: Option<TenantId>,
    pub kind: String,
    pub key: String,
    pub payload: Value,
    /// The message, document … it worked on.
    pub subject: Option<Uuid>,
    /// Runs it had.
    pub attempt: i32,
    pub cause: String,
    pub traceparent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub died_at: DateTime<Utc>,
}

impl DeadJob {
    /// Where the next page begins.
    pub fn position(&self) -> Position {
        (self.died_at, self.id)
    }
}

/// Which dead jobs are meant; what is `None` excludes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `None` for all tenants' and the platform's: only a system transaction sees those.
    pub tenant: Option<TenantId>,
    pub kind: Option<String>,
    /// A part of the cause, in its exact letters.
    pub cause: Option<String>,
    /// At or after this.
    pub died_after: Option<DateTime<Utc>>,
    /// Before this.
    pub died_before: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    kind: String,
    key: String,
    payload: Value,
    subject: Option<Uuid>,
    attempt: i32,
    cause: String,
    traceparent: Option<String>,
    created_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
}

impl From<Row> for DeadJob {
    fn from(row: Row) -> Self {
        Self {
            id: JobId::from_uuid(row.id),
            tenant: row.tenant_id.map(TenantId::from_uuid),
            kind: row.kind,
            key: row.key,
            payload: row.payload,
            subject: row.subject,
            attempt: row.attempt,
            cause: row.cause,
            traceparent: row.traceparent,
            created_at: row.created_at,
            died_at: row.died_at,
        }
    }
}

/// A dead job; `None` when the transaction sees none of this id.
pub async fn find(connection: &mut PgConnection, id: JobId) -> Result<Option<DeadJob>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, tenant_id, kind, key, payload, subject, attempt, cause, traceparent, created_at, died_at
         from dead_jobs where id = $1",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(DeadJob::from))
}

/// Dead jobs, the latest death first, after a position.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<DeadJob>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, tenant_id, kind, key, payload, subject, attempt, cause, traceparent, created_at, died_at
         from dead_jobs
         where ($1::uuid is null or tenant_id = $1) and ($2::text is null or kind = $2)
           and ($3::text is null or strpos(cause, $3) > 0)
           and ($4::timestamptz is null or died_at >= $4) and ($5::timestamptz is null or died_at < $5)
           and ($6::timestamptz is null or (died_at, id) < ($6, $7))
         order by died_at desc, id desc limit $8",
        filter.tenant.map(TenantId::uuid),
        filter.kind,
        filter.cause,
        filter.died_after,
        filter.died_before,
        after.map(|(died_at, _)| died_at),
        after.map(|(_, id)| id.uuid()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(DeadJob::from).collect())
}

/// How many jobs of the filter are dead when the transaction begins, counted up to `most`.
pub(super) async fn count(connection: &mut PgConnection, filter: &Filter, most: i64) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
             select from dead_jobs
             where ($1::uuid is null or tenant_id = $1) and ($2::text is null or kind = $2)
               and ($3::text is null or strpos(cause, $3) > 0)
               and ($4::timestamptz is null or died_at >= $4) and ($5::timestamptz is null or died_at < $5)
               and died_at <= now()
             limit $6
           ) as matched"#,
        filter.tenant.map(TenantId::uuid),
        filter.kind,
        filter.cause,
        filter.died_after,
        filter.died_before,
        most,
    )
    .fetch_one(connection)
    .await?)
}

/// Locks the next dead jobs of a walk, the earliest death first: those after a position that died by `until`.
pub(super) async fn next(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Position,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Position>, StoreError> {
    let rows = sqlx::query!(
        "select died_at, id from dead_jobs
         where ($1::uuid is null or tenant_id = $1) and ($2::text is null or kind = $2)
           and ($3::text is null or strpos(cause, $3) > 0)
           and ($4::timestamptz is null or died_at >= $4) and ($5::timestamptz is null or died_at < $5)
           and (died_at, id) > ($6, $7) and died_at <= $8
         order by died_at, id limit $9 for update",
        filter.tenant.map(TenantId::uuid),
        filter.kind,
        filter.cause,
        filter.died_after,
        filter.died_before,
        after.0,
        after.1.uuid(),
        until,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.died_at, JobId::from_uuid(row.id))).collect())
}

/// A job that was brought back.
#[derive(Debug, Clone)]
pub struct Revived {
    pub id: JobId,
    pub kind: String,
    /// Of the kind that was asked for only: payloads of a whole batch can be large.
    pub payload: Option<Value>,
}

/// Moves dead jobs back into the ledger, due at once, with all their attempts and a priority no better than the given
/// one. A job whose kind and key wait unfinished already stays dead. The relay pushes them.
pub async fn revive(
    connection: &mut PgConnection,
    ids: &[JobId],
    priority: u8,
    payloads_of: &str,
) -> Result<Vec<Revived>, StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"with revived as (
             insert into jobs
               (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, fence, traceparent, created_at)
             select id, tenant_id, kind, key, payload, subject, greatest(priority, $2), clock_timestamp(),
               clock_timestamp(), fence, traceparent, created_at
             from dead_jobs where id = any($1)
             on conflict do nothing
             returning id, kind, payload
           ), buried as (
             delete from dead_jobs where id in (select id from revived)
           )
           select id, kind, case when kind = $3 then payload end as payload from revived"#,
        &ids,
        i16::from(priority),
        payloads_of,
    )
    .fetch_all(connection)
    .await?;
    let revived = |id, kind, payload| Revived { id: JobId::from_uuid(id), kind, payload };
    Ok(rows.into_iter().map(|row| revived(row.id, row.kind, row.payload)).collect())
}

/// How many jobs of a tenant (`None`: of all) that replays brought back are due and not done, counted up to `most`.
pub async fn replayed_and_due(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    most: i64,
) -> Result<i64, StoreError> {
    // The priority is written out as the index has it.
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from (
             select from jobs
             where priority = 9 and ($1::uuid is null or tenant_id = $1) and run_at <= now() limit $2
           ) as replayed"#,
        tenant.map(TenantId::uuid),
        most,
    )
    .fetch_one(connection)
    .await?)
}

/// Deletes a dead job for good; returns false when the transaction sees none of this id.
pub async fn discard(connection: &mut PgConnection, id: JobId) -> Result<bool, StoreError> {
    let deleted = sqlx::query!("delete from dead_jobs where id = $1", id.uuid()).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

/// Deletes up to `limit` dead jobs of the filter that died by `until`, the earliest death first; returns how many.
pub async fn discard_some(
    connection: &mut PgConnection,
    filter: &Filter,
    until: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let found = next(connection, filter, START, until, limit).await?;
    let ids: Vec<_> = found.into_iter().map(|(_, id)| id.uuid()).collect();
    let deleted = sqlx::query!("delete from dead_jobs where id = any($1)", &ids).execute(connection).await?;
    Ok(deleted.rows_affected())
}
