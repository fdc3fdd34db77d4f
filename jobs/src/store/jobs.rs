//! The ledger's SQL: unfinished jobs, their history and dead letters.
//!
//! A job leaves the table through [`complete`], [`retry`] (it stays, later) or [`bury`]. Each is guarded by the
//! row itself and by the fence: a worker whose lease was lost to another one changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    ids::{JobId, TenantId},
    plan::{Plan, Share},
};

/// How long the relay leaves a fresh row to the enqueuer's own push.
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
}

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

/// Writes jobs; returns the ids of those written. A job whose kind and key wait unfinished already is not
/// written again.
pub async fn insert(connection: &mut PgConnection, jobs: &[NewJob]) -> Result<Vec<JobId>, StoreError> {
    let mut ids = Vec::with_capacity(jobs.len());
    let mut tenants = Vec::with_capacity(jobs.len());
    let mut kinds = Vec::with_capacity(jobs.len());
    let mut keys = Vec::with_capacity(jobs.len());
    let mut payloads = Vec::with_capacity(jobs.len());
    let mut subjects = Vec::with_capacity(jobs.len());
    let mut priorities = Vec::with_capacity(jobs.len());
    let mut delays = Vec::with_capacity(jobs.len());
    let mut traces = Vec::with_capacity(jobs.len());
    for job in jobs {
        ids.push(job.id.uuid());
        tenants.push(job.tenant.map(TenantId::uuid));
        kinds.push(job.kind.to_owned());
        keys.push(job.key.clone());
        payloads.push(job.payload.clone());
        subjects.push(job.subject);
        priorities.push(i16::from(job.priority));
        delays.push(job.delay.as_secs_f64());
        traces.push(job.traceparent.clone());
    }
    let written = sqlx::query_scalar!(
        r#"insert into jobs (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, traceparent)
           select id, tenant_id, kind, key, payload, subject, priority,
             clock_timestamp() + make_interval(secs => delay),
             clock_timestamp() + make_interval(secs => case when delay = 0 then $10 else delay end),
             traceparent
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::uuid[], $7::smallint[],
             $8::float8[], $9::text[])
             as t(id, tenant_id, kind, key, payload, subject, priority, delay, traceparent)
           on conflict (kind, key) do nothing
           returning id"#,
        &ids,
        &tenants as &[Option<Uuid>],
        &kinds,
        &keys,
        &payloads,
        &subjects as &[Option<Uuid>],
        &priorities,
        &delays,
        &traces as &[Option<String>],
        RELAY_GRACE.as_secs_f64(),
    )
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().map(JobId::from_uuid).collect())
}

/// How a job left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Cancelled,
}

/// Moves a job to the history; returns false when this lease may not finish it any more.
pub async fn complete(
    connection: &mut PgConnection,
    id: JobId,
    token: i64,
    started_at: DateTime<Utc>,
    outcome: Outcome,
) -> Result<bool, StoreError> {
    let outcome = match outcome {
        Outcome::Done => "done",
        Outcome::Cancelled => "cancelled",
    };
    let moved = sqlx::query!(
        "with finished as (delete from jobs where id = $1 and fence <= $2 returning *)
         insert into job_history (id, tenant_id, kind, key, subject, attempt, outcome, created_at, run_at, started_at)
         select id, tenant_id, kind, key, subject, attempt + 1, $3, created_at, run_at, $4 from finished",
        id.uuid(),
        token,
        outcome,
        started_at,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
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
        "update jobs set attempt = attempt + 1, fence = $2, last_error = $4,
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
         insert into dead_jobs (id, tenant_id, kind, key, payload, subject, priority, attempt, cause, traceparent, created_at)
         select id, tenant_id, kind, key, payload, subject, priority, attempt + 1, $3, traceparent, created_at from dead",
        id.uuid(),
        token,
        cause,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Takes a job over from a worker that was lost, spending an attempt and fencing that worker off. Returns the
/// failed attempts so far; `None` when the job is finished, put off, or taken over by a later lease. Repeating it
/// spends nothing more.
pub async fn take_over(connection: &mut PgConnection, id: JobId, token: i64) -> Result<Option<u32>, StoreError> {
    let attempt = sqlx::query_scalar!(
        "update jobs set attempt = attempt + (fence < $2)::integer, fence = $2,
           last_error = 'the worker running it was lost'
         where id = $1 and fence <= $2 and run_at <= clock_timestamp() returning attempt",
        id.uuid(),
        token,
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

/// Hands a job back to the relay that leaves its lane unfinished, if it is still in the ledger.
pub async fn return_to_relay(connection: &mut PgConnection, id: JobId) -> Result<(), StoreError> {
    sqlx::query!(
        "update jobs set relay_at = least(relay_at, greatest(run_at, clock_timestamp())) where id = $1",
        id.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The oldest due rows that no lane is known to hold.
pub async fn due_for_relay(connection: &mut PgConnection, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    let rows = sqlx::query_as!(
        Unparsed,
        "select j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan
         from jobs j where j.relay_at <= now() order by j.relay_at limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(JobRow::from).collect())
}

/// The due rows of a kind after a position, whether or not a lane was known to hold them: what a lane that lost
/// its data is rebuilt from.
pub async fn due_after(
    connection: &mut PgConnection,
    kind: &str,
    after: (DateTime<Utc>, JobId),
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    let rows = sqlx::query_as!(
        Unparsed,
        "select j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.run_at as relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan
         from jobs j
         where j.kind = $1 and (j.run_at, j.id) > ($2, $3) and j.run_at <= now()
         order by j.run_at, j.id limit $4",
        kind,
        after.0,
        after.1.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(JobRow::from).collect())
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

/// Sets when the relay looks at rows again. Rows that changed since they were read keep what the change said.
pub async fn set_relay(
    connection: &mut PgConnection,
    rows: &[(JobId, DateTime<Utc>)],
    again_in: Duration,
) -> Result<(), StoreError> {
    let (ids, seen): (Vec<_>, Vec<_>) = rows.iter().map(|(id, seen)| (id.uuid(), *seen)).unzip();
    sqlx::query!(
        "update jobs j set relay_at = clock_timestamp() + make_interval(secs => $3)
         from unnest($1::uuid[], $2::timestamptz[]) as r(id, seen)
         where j.id = r.id and j.relay_at = r.seen",
        &ids,
        &seen,
        again_in.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Unfinished due jobs of a kind: the age of the oldest, in seconds; 0 without any.
pub async fn oldest_age_seconds(connection: &mut PgConnection, kind: &str) -> Result<f64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from clock_timestamp() - (
             select run_at from jobs where kind = $1 and run_at <= now() order by run_at limit 1
           )), 0)::float8 as "age!""#,
        kind
    )
    .fetch_one(connection)
    .await?)
}

/// Has the relay look at rows that a rebuilt lane had no room for, unless it does so sooner anyway.
pub async fn relay_later(connection: &mut PgConnection, ids: &[JobId], delay: Duration) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "update jobs set relay_at = clock_timestamp() + make_interval(secs => $2)
         where id = any($1) and relay_at > clock_timestamp() + make_interval(secs => $2)",
        &ids,
        delay.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
