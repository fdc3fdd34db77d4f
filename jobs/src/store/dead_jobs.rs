//! Dead letters as their owner sees them, and their way back into the ledger.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Scope, StoreError, TenantTx,
    jobs::{JobRow, RELAY_GRACE, Unparsed},
};
use crate::domain::ids::JobId;

/// A job that gave up.
#[derive(Debug, Clone)]
pub struct DeadJob {
    pub id: JobId,
    pub kind: String,
    pub key: String,
    pub payload: Value,
    /// The message, document … it worked on.
    pub subject: Option<Uuid>,
    /// Runs it had.
    pub attempt: i32,
    pub cause: String,
    pub created_at: DateTime<Utc>,
    pub died_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    kind: String,
    key: String,
    payload: Value,
    subject: Option<Uuid>,
    attempt: i32,
    cause: String,
    created_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
}

impl From<Row> for DeadJob {
    fn from(row: Row) -> Self {
        Self {
            id: JobId::from_uuid(row.id),
            kind: row.kind,
            key: row.key,
            payload: row.payload,
            subject: row.subject,
            attempt: row.attempt,
            cause: row.cause,
            created_at: row.created_at,
            died_at: row.died_at,
        }
    }
}

/// A dead job; `None` when the tenant has none of this id.
pub async fn find(tx: &mut TenantTx, id: JobId) -> Result<Option<DeadJob>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, kind, key, payload, subject, attempt, cause, created_at, died_at
         from dead_jobs where tenant_id = $1 and id = $2",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(DeadJob::from))
}

/// Dead jobs, newest first, after a position.
pub async fn list(
    tx: &mut TenantTx,
    kind: Option<&str>,
    after: Option<JobId>,
    limit: i64,
) -> Result<Vec<DeadJob>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, kind, key, payload, subject, attempt, cause, created_at, died_at
         from dead_jobs
         where tenant_id = $1 and ($2::text is null or kind = $2) and ($3::uuid is null or id < $3)
         order by id desc limit $4",
        tenant,
        kind,
        after.map(JobId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(DeadJob::from).collect())
}

/// Moves a dead job back into the ledger, due at once and with all its attempts; `None` as in [`find`].
///
/// Fails on `jobs_kind_key_unique` when the same work waits under another job already.
pub async fn replay(tx: &mut TenantTx, id: JobId) -> Result<Option<JobRow>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Unparsed,
        "with revived as (delete from dead_jobs where tenant_id = $1 and id = $2 returning *)
         insert into jobs as j
           (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, traceparent, created_at)
         select id, tenant_id, kind, key, payload, subject, priority, clock_timestamp(),
           clock_timestamp() + make_interval(secs => $3), traceparent, created_at
         from revived
         returning j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan",
        tenant,
        id.uuid(),
        RELAY_GRACE.as_secs_f64(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(JobRow::from))
}
