//! What happened to one message: its jobs, finished, waiting and dead, and every delivery of its events.

use chrono::{DateTime, Utc};

use super::{Scope, StoreError, TenantTx};
use crate::domain::ids::{EndpointId, EventId, MessageId};

/// Most entries of each kind; a message has about ten jobs.
const LIMIT: i64 = 500;

/// A job of the message.
#[derive(Debug, Clone)]
pub struct JobEntry {
    pub kind: String,
    /// When it started, died or, while it waits, is due.
    pub at: DateTime<Utc>,
    /// From being due to its last start; `None` while it waits, and for a dead job.
    pub wait_ms: Option<f64>,
    pub run_ms: Option<f64>,
    /// Runs that have ended.
    pub attempts: i32,
    /// `done`, `cancelled`, `pending` or `dead`.
    pub outcome: String,
    /// What the last run failed on.
    pub error: Option<String>,
}

/// A try to deliver one of the message's events.
#[derive(Debug, Clone)]
pub struct DeliveryEntry {
    pub event: EventId,
    pub event_type: String,
    /// `None` for the message's callback.
    pub endpoint: Option<EndpointId>,
    pub url: String,
    pub attempt: i32,
    pub status: Option<i32>,
    pub error: Option<String>,
    pub duration_ms: i32,
    /// When the answer was noted.
    pub at: DateTime<Utc>,
}

/// The message's jobs, in no order.
pub async fn jobs(tx: &mut TenantTx, message: MessageId) -> Result<Vec<JobEntry>, StoreError> {
    let tenant = tx.tenant().uuid();
    // No job of a message ends before the message exists, which leaves older partitions of the history unread.
    Ok(sqlx::query_as!(
        JobEntry,
        r#"select kind as "kind!", started_at as "at!",
             extract(epoch from started_at - run_at)::float8 * 1000 as "wait_ms",
             extract(epoch from finished_at - started_at)::float8 * 1000 as "run_ms",
             attempt as "attempts!", outcome as "outcome!", null as "error"
           from job_history where tenant_id = $1 and subject = $2 and finished_at >= $3
           union all
           select kind, run_at, null, null, attempt, 'pending', last_error from jobs
           where tenant_id = $1 and subject = $2
           union all
           select kind, died_at, null, null, attempt, 'dead', cause from dead_jobs
           where tenant_id = $1 and subject = $2
           limit $4"#,
        tenant,
        message.uuid(),
        message.created_at(),
        LIMIT,
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The deliveries of the message's events, in the order they were noted.
pub async fn deliveries(tx: &mut TenantTx, message: MessageId) -> Result<Vec<DeliveryEntry>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        "select a.event_id, e.type as event_type, a.endpoint_id, a.url, a.attempt, a.status, a.error, a.duration_ms,
           a.created_at
         from webhook_attempts a join events e on e.id = a.event_id
         where a.tenant_id = $1 and a.message_id = $2 order by a.id limit $3",
        tenant,
        message.uuid(),
        LIMIT,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| DeliveryEntry {
            event: EventId::from_uuid(row.event_id),
            event_type: row.event_type,
            endpoint: row.endpoint_id.map(EndpointId::from_uuid),
            url: row.url,
            attempt: row.attempt,
            status: row.status,
            error: row.error,
            duration_ms: row.duration_ms,
            at: row.created_at,
        })
        .collect())
}
