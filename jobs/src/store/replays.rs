//! Replays of many dead jobs: what was asked for and how far each has come.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    StoreError,
    dead_jobs::{self, Filter, Position},
};
use crate::domain::ids::{JobId, ReplayId, TenantId};

/// Most jobs of one replay; of a larger set the earliest deaths are taken, and another replay takes the rest.
pub const MAX_JOBS: i64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    Finished,
    Cancelled,
    /// Its own job gave up.
    Failed,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Running, Self::Finished, Self::Cancelled, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug, Clone)]
pub struct Replay {
    pub id: ReplayId,
    pub filter: Filter,
    pub rate_per_second: i32,
    pub state: State,
    /// Dead jobs of the filter when it was started, at most [`MAX_JOBS`].
    pub matched: i32,
    pub replayed: i32,
    /// Left dead: the same work was queued already.
    pub skipped: i32,
    pub started_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    walked: Position,
}

impl Replay {
    /// Jobs it has not come to; what was discarded meanwhile is among them until it finishes.
    pub fn remaining(&self) -> i32 {
        match self.state {
            State::Finished => 0,
            _ => self.matched - self.replayed - self.skipped,
        }
    }
}

struct Row {
    id: Uuid,
    tenant_id: Option<Uuid>,
    kind: Option<String>,
    cause_contains: Option<String>,
    died_after: Option<DateTime<Utc>>,
    died_before: Option<DateTime<Utc>>,
    rate_per_second: i32,
    state: String,
    matched: i32,
    replayed: i32,
    skipped: i32,
    walked_at: DateTime<Utc>,
    walked_id: Uuid,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Replay {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: ReplayId::from_uuid(row.id),
            filter: Filter {
                tenant: row.tenant_id.map(TenantId::from_uuid),
                kind: row.kind,
                cause: row.cause_contains,
                died_after: row.died_after,
                died_before: row.died_before,
            },
            rate_per_second: row.rate_per_second,
            state: State::parse(&row.state)
                .ok_or(StoreError::Unreadable { column: "dead_job_replays.state", value: row.state })?,
            matched: row.matched,
            replayed: row.replayed,
            skipped: row.skipped,
            started_at: row.started_at,
            finished_at: row.finished_at,
            walked: (row.walked_at, JobId::from_uuid(row.walked_id)),
        })
    }
}

/// Writes a replay of what is dead now. Fails on `dead_job_replays_one_running` while another one of the same tenant,
/// or another one of the operator, is running.
pub async fn insert(
    connection: &mut PgConnection,
    id: ReplayId,
    filter: &Filter,
    rate_per_second: i32,
) -> Result<(), StoreError> {
    let matched = dead_jobs::count(connection, filter, MAX_JOBS).await?;
    sqlx::query!(
        "insert into dead_job_replays
           (id, tenant_id, kind, cause_contains, died_after, died_before, rate_per_second, matched)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.uuid(),
        filter.tenant.map(TenantId::uuid),
        filter.kind,
        filter.cause,
        filter.died_after,
        filter.died_before,
        rate_per_second,
        i32::try_from(matched).unwrap_or(i32::MAX),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A replay; `None` when the transaction sees none of this id.
pub async fn find(connection: &mut PgConnection, id: ReplayId) -> Result<Option<Replay>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, tenant_id, kind, cause_contains, died_after, died_before, rate_per_second, state, matched, replayed,
           skipped, walked_at, walked_id, started_at, finished_at
         from dead_job_replays where id = $1",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    row.map(Replay::try_from).transpose()
}

/// Locks a running replay until the transaction ends; `None` when it is over or gone.
pub async fn lock_running(connection: &mut PgConnection, id: ReplayId) -> Result<Option<Replay>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, tenant_id, kind, cause_contains, died_after, died_before, rate_per_second, state, matched, replayed,
           skipped, walked_at, walked_id, started_at, finished_at
         from dead_job_replays where id = $1 and state = 'running' for update",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    row.map(Replay::try_from).transpose()
}

/// Locks the next dead jobs of a replay, at most `limit`.
pub async fn next(connection: &mut PgConnection, replay: &Replay, limit: i32) -> Result<Vec<Position>, StoreError> {
    dead_jobs::next(connection, &replay.filter, replay.walked, replay.started_at, limit.into()).await
}

/// What a step of a replay did.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Jobs that it came to, and those of them that it brought back.
    pub seen: i32,
    pub revived: i32,
    /// The last one that it came to.
    pub walked: Option<Position>,
    /// Whether there may be others.
    pub more: bool,
}

/// Notes a step of a replay that is locked; without more to do, the replay has finished.
pub async fn advance(connection: &mut PgConnection, replay: &Replay, step: Step) -> Result<(), StoreError> {
    let (walked_at, walked_id) = step.walked.unwrap_or(replay.walked);
    sqlx::query!(
        "update dead_job_replays set replayed = replayed + $2, skipped = skipped + $3, walked_at = $4, walked_id = $5,
           state = case when $6 then 'running' else 'finished' end,
           finished_at = case when $6 then null else clock_timestamp() end
         where id = $1",
        replay.id.uuid(),
        step.revived,
        step.seen - step.revived,
        walked_at,
        walked_id.uuid(),
        step.more,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a replay that is running; one that is over stays as it is. Waits for a step that is in progress.
pub async fn end(connection: &mut PgConnection, id: ReplayId, state: State) -> Result<(), StoreError> {
    sqlx::query!(
        "update dead_job_replays set state = $2, finished_at = clock_timestamp() where id = $1 and state = 'running'",
        id.uuid(),
        state.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
