//! The ledger's SQL: unfinished jobs, their history and dead letters.
//!
//! A job leaves the table through an [`Outbox`], alone with [`complete`], through [`retry`] (it stays, later) or [`bury`]. Each is
//! guarded by the row itself and by the fence: a worker whose lease was lost to another one changes nothing.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    StoreError,
    outbox::{End, Outbox},
};
use crate::domain::{
    ids::{EventId, JobId, TenantId},
    plan::{Plan, Share},
};

/// How long the relay leaves a fresh row to the enqueuer's own push, which takes less or is given up.
pub(super) const RELAY_GRACE: Duration = Duration::from_secs(5);

/// A job about to be written.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: JobId,
    pub tenant: Option<TenantId>,
    pub kind: &'static str,
    pub key: String,
    pub payload: Value,
    pub subject: Option<Uuid>,
    pub priority: u8,
    /// Zero for a job that is due at once.
    pub delay: Duration,
    pub traceparent: Option<String>,
    /// The event without which it has nothing to do: it is written only when an endpoint wants that event.
    pub event: Option<EventId>,
    /// The job it follows from: it is written only when the same statement ends that one.
    pub parent: Option<JobId>,
}

/// A place in an order of jobs: by a time, then by id.
pub type Position = (DateTime<Utc>, JobId);

/// Before every job.
pub const START: Position = (DateTime::UNIX_EPOCH, JobId::from_uuid(Uuid::nil()));

/// A row of the ledger.
#[derive(Debug, Clone)]
pub struct JobRow {
    pub id: JobId,
    pub tenant: Option<TenantId>,
    pub kind: String,
    pub key: String,
    pub payload: Value,
    pub subject: Option<Uuid>,
    pub priority: u8,
    pub attempt: u32,
    pub traceparent: Option<String>,
    pub run_at: DateTime<Utc>,
    pub relay_at: DateTime<Utc>,
    pub share: Share,
}

/// Writes jobs; returns the ids of those written. A job whose kind and key wait unfinished already is not written again.
pub async fn insert(connection: &mut PgConnection, jobs: Vec<NewJob>) -> Result<HashSet<JobId>, StoreError> {
    let outbox = Outbox { jobs, ..Outbox::default() };
    Ok(outbox.write(connection).await?.jobs)
}

/// Moves a job to the history; returns false when this lease may not finish it any more.
pub async fn complete(connection: &mut PgConnection, end: End) -> Result<bool, StoreError> {
    let outbox = Outbox { ends: vec![end], ..Outbox::default() };
    Ok(!outbox.write(connection).await?.ended.is_empty())
}

/// Puts a job off and counts the run after `failed` others; returns false when this lease may not any more, or when
/// the run was counted already.
pub async fn retry(
    connection: &mut PgConnection,
    id: JobId,
    token: i64,
    failed: u32,
    delay: Duration,
    error: &str,
) -> Result<bool, StoreError> {
    let kept = sqlx::query!(
        "update jobs set attempt = attempt + 1, fence = $2, lost = 0, last_error = $4, parked = false,
           run_at = clock_timestamp() + make_interval(secs => $3),
           relay_at = clock_timestamp() + make_interval(secs => $3)
         where id = $1 and fence <= $2 and attempt = $5",
        id.uuid(),
        token,
        delay.as_secs_f64(),
        error,
        failed.cast_signed(),
    )
    .execute(connection)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Moves a job to the dead letters; returns false when this lease may not any more.
pub async fn bury(connection: &mut PgConnection, id: JobId, token: i64, cause: &str) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "with dead as (delete from jobs where id = $1 and fence <= $2 returning *)
         insert into dead_jobs
           (id, tenant_id, kind, key, payload, subject, priority, attempt, fence, cause, traceparent, created_at)
         select id, tenant_id, kind, key, payload, subject, priority, attempt + 1, fence, $3, traceparent, created_at
         from dead",
        id.uuid(),
        token,
        cause,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Takes a job over from a worker that was lost, spending an attempt and fencing that worker off; `crashes` is the
/// lane's count. Returns the failed attempts so far; `None` when the job is finished, put off, or taken over by a later
/// lease. Spends nothing when no further worker was lost since the last time, as after a lease given back.
pub async fn take_over(
    connection: &mut PgConnection,
    id: JobId,
    token: i64,
    crashes: u32,
) -> Result<Option<u32>, StoreError> {
    let attempt = sqlx::query_scalar!(
        "update jobs set attempt = attempt + (lost <> $3)::integer, lost = $3, fence = $2,
           last_error = 'the worker running it was lost'
         where id = $1 and fence <= $2 and run_at <= clock_timestamp() returning attempt",
        id.uuid(),
        token,
        crashes.cast_signed(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(attempt.map(|attempt| attempt.unsigned_abs()))
}

/// The failed runs so far of a job that is unfinished and due; `None` otherwise. Asked before running a job that the
/// relay pushed: it may have finished or been put off meanwhile.
pub async fn due_attempt(connection: &mut PgConnection, id: JobId) -> Result<Option<u32>, StoreError> {
    let attempt =
        sqlx::query_scalar!("select attempt from jobs where id = $1 and run_at <= clock_timestamp()", id.uuid())
            .fetch_optional(connection)
            .await?;
    Ok(attempt.map(|attempt| attempt.unsigned_abs()))
}

pub(super) struct Unparsed {
    pub id: Uuid,
    pub tenant_id: Option<Uuid>,
    pub kind: String,
    pub key: String,
    pub payload: Value,
    pub subject: Option<Uuid>,
    pub priority: i16,
    pub attempt: i32,
    pub traceparent: Option<String>,
    pub run_at: DateTime<Utc>,
    pub relay_at: DateTime<Utc>,
    pub plan: Option<String>,
}

impl From<Unparsed> for JobRow {
    fn from(row: Unparsed) -> Self {
        Self {
            id: JobId::from_uuid(row.id),
            tenant: row.tenant_id.map(TenantId::from_uuid),
            kind: row.kind,
            key: row.key,
            payload: row.payload,
            subject: row.subject,
            priority: row.priority.try_into().unwrap_or_default(),
            attempt: row.attempt.unsigned_abs(),
            traceparent: row.traceparent,
            run_at: row.run_at,
            relay_at: row.relay_at,
            share: row.plan.as_deref().and_then(Plan::parse).map_or(Share::PLATFORM, Plan::share),
        }
    }
}
