//! The ledger's SQL: unfinished jobs, their history and dead letters.
//!
//! A job leaves the table through [`complete`], [`retry`] (it stays, later) or [`bury`]. Each is guarded by the
//! row itself and by the fence: a worker whose lease was lost to another one changes nothing.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    event::NewEvent,
    ids::{ConversationId, EventId, JobId, MessageId, TenantId},
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
    /// The event without which it has nothing to do: it is written only when an endpoint wants that event.
    pub event: Option<EventId>,
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

/// Jobs as the arrays that one statement unnests.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    tenants: Vec<Option<Uuid>>,
    kinds: Vec<String>,
    keys: Vec<String>,
    payloads: Vec<Value>,
    subjects: Vec<Option<Uuid>>,
    priorities: Vec<i16>,
    delays: Vec<f64>,
    traces: Vec<Option<String>>,
    events: Vec<Option<Uuid>>,
}

impl Columns {
    fn push(&mut self, job: &NewJob) {
        self.ids.push(job.id.uuid());
        self.tenants.push(job.tenant.map(TenantId::uuid));
        self.kinds.push(job.kind.to_owned());
        self.keys.push(job.key.clone());
        self.payloads.push(job.payload.clone());
        self.subjects.push(job.subject);
        self.priorities.push(i16::from(job.priority));
        self.delays.push(job.delay.as_secs_f64());
        self.traces.push(job.traceparent.clone());
        self.events.push(job.event.map(EventId::uuid));
    }
}

/// Writes jobs, and events into the outbox; returns the ids of the jobs written. A job whose kind and key wait unfinished
/// already is not written again, and one for an event only when an endpoint wants that.
pub async fn insert(
    connection: &mut PgConnection,
    jobs: &[NewJob],
    events: &[(TenantId, NewEvent)],
) -> Result<Vec<JobId>, StoreError> {
    let mut columns = Columns::default();
    jobs.iter().for_each(|job| columns.push(job));
    let written = sqlx::query_scalar!(
        r#"with reported as (
             insert into events (id, tenant_id, type, conversation_id, message_id, data, created_at)
             select * from unnest($11::uuid[], $12::uuid[], $13::text[], $14::uuid[], $15::uuid[], $16::jsonb[],
               $17::timestamptz[])
           ),
           wanted as (
             select e.id from unnest($11::uuid[], $12::uuid[], $13::text[]) as e(id, tenant_id, type)
             where exists (
               select from webhook_endpoints w
               where w.tenant_id = e.tenant_id and w.enabled and (w.event_types = '{}' or e.type = any(w.event_types)))
           )
           insert into jobs (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, traceparent)
           select id, tenant_id, kind, key, payload, subject, priority,
             clock_timestamp() + make_interval(secs => delay),
             clock_timestamp() + make_interval(secs => case when delay = 0 then $10 else delay end),
             traceparent
           from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::uuid[], $7::smallint[],
             $8::float8[], $9::text[], $18::uuid[])
             as t(id, tenant_id, kind, key, payload, subject, priority, delay, traceparent, event_id)
           where event_id is null or event_id in (select id from wanted)
           on conflict (kind, key) do nothing
           returning id"#,
        &columns.ids,
        &columns.tenants as &[Option<Uuid>],
        &columns.kinds,
        &columns.keys,
        &columns.payloads,
        &columns.subjects as &[Option<Uuid>],
        &columns.priorities,
        &columns.delays,
        &columns.traces as &[Option<String>],
        RELAY_GRACE.as_secs_f64(),
        &events.iter().map(|(_, event)| event.id.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.event_type.as_str().to_owned()).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.conversation.map(ConversationId::uuid)).collect::<Vec<_>>()
            as &[Option<Uuid>],
        &events.iter().map(|(_, event)| event.message.map(MessageId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &events.iter().map(|(_, event)| event.data.clone()).collect::<Vec<_>>(),
        &events.iter().map(|(_, event)| event.id.created_at()).collect::<Vec<_>>(),
        &columns.events as &[Option<Uuid>],
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

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of a run, and the jobs that follow from it.
#[derive(Debug, Clone)]
pub struct Completion {
    pub id: JobId,
    /// The lease's.
    pub token: i64,
    pub started_at: DateTime<Utc>,
    pub outcome: Outcome,
    /// None may have the kind and key of the job that ends.
    pub next: Vec<NewJob>,
}

/// Moves a job to the history; returns false when this lease may not finish it any more.
pub async fn complete(
    connection: &mut PgConnection,
    id: JobId,
    token: i64,
    started_at: DateTime<Utc>,
    outcome: Outcome,
) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "with finished as (delete from jobs where id = $1 and fence <= $2 returning *)
         insert into job_history (id, tenant_id, kind, key, subject, attempt, outcome, created_at, run_at, started_at)
         select id, tenant_id, kind, key, subject, attempt + 1, $3, created_at, run_at, $4 from finished",
        id.uuid(),
        token,
        outcome.as_str(),
        started_at,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// As [`complete`] for many jobs, with the jobs that follow, in one statement. Returns the ids of those it moved and of
/// those it wrote: what follows from a job that it did not move is not written.
pub async fn complete_many(
    connection: &mut PgConnection,
    completions: &[Completion],
) -> Result<(HashSet<JobId>, HashSet<JobId>), StoreError> {
    let (mut ids, mut tokens, mut starts, mut outcomes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut parents, mut next) = (Vec::new(), Columns::default());
    for completion in completions {
        ids.push(completion.id.uuid());
        tokens.push(completion.token);
        starts.push(completion.started_at);
        outcomes.push(completion.outcome.as_str().to_owned());
        for job in &completion.next {
            parents.push(completion.id.uuid());
            next.push(job);
        }
    }
    let rows = sqlx::query!(
        r#"with ended as (
             select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[])
               as t(id, token, started_at, outcome)
           ), finished as (
             delete from jobs using ended where jobs.id = ended.id and fence <= token
             returning jobs.*, ended.started_at, ended.outcome
           ), moved as (
             insert into job_history
               (id, tenant_id, kind, key, subject, attempt, outcome, created_at, run_at, started_at)
             select id, tenant_id, kind, key, subject, attempt + 1, outcome, created_at, run_at, started_at
             from finished returning id
           ), written as (
             insert into jobs (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, traceparent)
             select id, tenant_id, kind, key, payload, subject, priority,
               clock_timestamp() + make_interval(secs => delay),
               clock_timestamp() + make_interval(secs => case when delay = 0 then $15 else delay end),
               traceparent
             from unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::jsonb[], $11::uuid[],
               $12::smallint[], $13::float8[], $14::text[])
               as t(parent, id, tenant_id, kind, key, payload, subject, priority, delay, traceparent)
             where parent in (select finished.id from finished)
             on conflict (kind, key) do nothing
             returning id
           )
           select id as "id!", true as "moved!" from moved union all select id, false from written"#,
        &ids,
        &tokens,
        &starts,
        &outcomes,
        &parents,
        &next.ids,
        &next.tenants as &[Option<Uuid>],
        &next.kinds,
        &next.keys,
        &next.payloads,
        &next.subjects as &[Option<Uuid>],
        &next.priorities,
        &next.delays,
        &next.traces as &[Option<String>],
        RELAY_GRACE.as_secs_f64(),
    )
    .fetch_all(connection)
    .await?;
    let ids = |moved| rows.iter().filter(move |row| row.moved == moved).map(|row| JobId::from_uuid(row.id)).collect();
    Ok((ids(true), ids(false)))
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
