//! Deletes what has served its time.
//!
//! - **What:** deletes a batch each of idempotency keys past their 24 hours, pieces of the streams of messages that came
//!   over a day ago and have ended, searches that ended as long ago, attempts to log in of the day before, replays of
//!   dead jobs and sessions that ended a month ago, attempts to deliver webhooks after a month, events and jobs that died
//!   after three, and rows of the job history and the API's log past their retention that had no partition to be dropped
//!   with; while a batch was full, it continues itself.
//! - **Who enqueues it:** the schedule, every hour.
//! - **Twice:** what is gone stays gone.
//! - **Gives up:** the next hour's run does what this one left.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::ids::TenantId,
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, Periodic, RetryPolicy},
    store::{Scope, StoreError, SystemTx, retention, schedules},
};

/// Rows of each table deleted in one transaction at most.
const BATCH: i64 = 1_000;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The contract of the header: a key is remembered for at least a day.
const KEEP_IDEMPOTENCY_KEYS: Duration = DAY;
/// A client that lost its stream resumes within this.
const KEEP_STREAMS: Duration = DAY;
const KEEP_SEARCHES: Duration = DAY;
const KEEP_REPLAYS: Duration = DAY.saturating_mul(30);
/// They carry what receivers answered.
const KEEP_ATTEMPTS: Duration = DAY.saturating_mul(30);
const KEEP_EVENTS: Duration = DAY.saturating_mul(90);
/// Nobody replays what died that long ago: what it worked on has moved on.
const KEEP_DEAD_JOBS: Duration = DAY.saturating_mul(90);
const KEEP_LOGIN_ATTEMPTS: Duration = DAY;
/// So long a device is known again.
const KEEP_SESSIONS: Duration = DAY.saturating_mul(30);

#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeExpired {
    pub period: DateTime<Utc>,
}

impl Job for PurgeExpired {
    type Scope = SystemTx;

    const KIND: &'static str = "purge_expired";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 10, base: Duration::from_secs(2), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        self.period.to_rfc3339()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let now = Utc::now();
        let mut done = context.finish::<SystemTx>().await?;
        let connection = done.tx().connection();
        let kept = context.runtime.retention;
        let history_from = midnight(kept.history_from(now.date_naive()));
        let mut purged = vec![
            retention::idempotency_keys(connection, KEEP_IDEMPOTENCY_KEYS, BATCH).await?,
            retention::message_stream(connection, now - KEEP_STREAMS, BATCH).await?,
            retention::searches(connection, now - KEEP_SEARCHES, BATCH).await?,
            retention::replays(connection, KEEP_REPLAYS, BATCH).await?,
            retention::webhook_attempts(connection, now - KEEP_ATTEMPTS, BATCH).await?,
            retention::events(connection, now - KEEP_EVENTS, BATCH).await?,
            retention::dead_jobs(connection, KEEP_DEAD_JOBS, BATCH).await?,
            retention::job_history(connection, history_from, BATCH).await?,
            retention::sessions(connection, KEEP_SESSIONS, BATCH).await?,
            retention::login_attempts(connection, KEEP_LOGIN_ATTEMPTS, BATCH).await?,
        ];
        if let Some(kept_from) = kept.api_logs_from(now.date_naive()) {
            purged.push(retention::api_logs(connection, midnight(kept_from), BATCH).await?);
        }
        if purged.contains(&BATCH.unsigned_abs()) {
            done.enqueue(self)?;
        } else {
            schedules::succeeded(connection, Self::KIND).await?;
        }
        done.commit().await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(cause, "expired rows were not purged, the next period tries again");
        Ok(())
    }
}

impl Periodic for PurgeExpired {
    const EVERY: Duration = Duration::from_secs(3600);
    const PHASE: Duration = Duration::from_secs(37 * 60);

    fn of(period: DateTime<Utc>) -> Self {
        Self { period }
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
