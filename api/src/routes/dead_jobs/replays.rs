//! Replays of many dead jobs: started, watched, cancelled.

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::ReplayId,
    kinds::replay_dead_jobs,
    store::{
        Scope, TenantTx,
        replays::{self, State as Progress},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::filter::Selection;
use crate::{
    extract::{
        Caller, Json, KeyHeader, Keyed, PathId, Traceparent,
        scope::{JobsWrite, Read},
    },
    once::Answer,
    problem::{Document, Fields, Problem},
    state::AppState,
};

const DEFAULT_RATE: u16 = 50;
const MAX_RATE: u16 = 1_000;

/// Which dead jobs run again, and how fast: at least one condition, which all have to hold, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayRequest)]
pub struct Request {
    #[schema(example = "deliver_webhook")]
    kind: Option<String>,
    /// A part of the cause, in its exact letters.
    #[schema(example = "answered 503", min_length = 1, max_length = 200)]
    cause_contains: Option<String>,
    /// At this time or later.
    died_after: Option<DateTime<Utc>>,
    /// Before this time.
    died_before: Option<DateTime<Utc>>,
    /// In place of conditions: every dead job.
    #[schema(example = false)]
    all: Option<bool>,
    /// Most jobs queued in a second: 1 to 1000; 50 by default.
    #[schema(example = 50, minimum = 1, maximum = 1000)]
    rate_per_second: Option<u16>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadJobReplay)]
pub struct Replay {
    #[schema(value_type = String, example = "rpl_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ReplayId,
    /// `running`, `finished`, `cancelled`, or `failed` when the replay itself gave up.
    #[schema(example = "running")]
    state: &'static str,
    kind: Option<String>,
    cause_contains: Option<String>,
    died_after: Option<DateTime<Utc>>,
    died_before: Option<DateTime<Utc>>,
    rate_per_second: i32,
    /// Dead jobs of the filter when the replay began; 100 000 at most, the earliest deaths.
    matched: i32,
    /// Queued again so far.
    replayed: i32,
    /// Left dead, because the same work was queued already.
    skipped: i32,
    remaining: i32,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<replays::Replay> for Replay {
    fn from(stored: replays::Replay) -> Self {
        Self {
            id: stored.id,
            state: stored.state.as_str(),
            rate_per_second: stored.rate_per_second,
            matched: stored.matched,
            replayed: stored.replayed,
            skipped: stored.skipped,
            remaining: stored.remaining(),
            started_at: stored.started_at,
            finished_at: stored.finished_at,
            kind: stored.filter.kind,
            cause_contains: stored.filter.cause,
            died_after: stored.filter.died_after,
            died_before: stored.filter.died_before,
        }
    }
}

/// Runs the dead jobs of a filter again, at most so many in a second, behind fresh work of the same kind.
///
/// Only jobs that are dead now: one that dies again stays dead. What a job does when it runs again is told at the replay
/// of a single one.
#[utoipa::path(
    post, path = "/v1/jobs/dead/replays", tag = "jobs", operation_id = "start_dead_job_replay",
    security(("tenant_key" = ["jobs:write"])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 202, description = "Started.", body = Replay),
        (status = 409, description = "Another replay is running; one at a time keeps the rate.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn start(
    caller: Caller<JobsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    Keyed { once, body: Json(request) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    let Request { kind, cause_contains, died_after, died_before, all, rate_per_second } = request;
    let selection = Selection { kind, cause_contains, died_after, died_before, all };
    let rate = rate_per_second.unwrap_or(DEFAULT_RATE);
    let mut fields = Fields::default();
    selection.must_choose(&mut fields);
    if !(1..=MAX_RATE).contains(&rate) {
        fields.refuse("rate_per_second", format!("must be 1 to {MAX_RATE}"));
    }
    let filter = selection.filter(caller.id, &mut fields);
    fields.finish()?;
    let work = state.work(&caller, &trace).await?;
    once.run(&state.vault, work, async |work| {
        let id = replay_dead_jobs::start(work.tx(), &filter, rate).await?;
        Answer::new(StatusCode::ACCEPTED, &find(work.tx(), id).await?)
    })
    .await
}

/// Reads how far a replay has come. Kept for 30 days after its end.
#[utoipa::path(
    get, path = "/v1/jobs/dead/replays/{id}", tag = "jobs", operation_id = "read_dead_job_replay",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "rpl_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The replay.", body = Replay))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<ReplayId>,
) -> Result<Body<Replay>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let replay = find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Body(replay))
}

/// Stops a replay: nothing more is queued, what was queued runs. One that is over stays as it is.
#[utoipa::path(
    delete, path = "/v1/jobs/dead/replays/{id}", tag = "jobs", operation_id = "cancel_dead_job_replay",
    security(("tenant_key" = ["jobs:write"])),
    params(("id" = String, Path, example = "rpl_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The replay, which is over.", body = Replay))
)]
pub async fn cancel(
    caller: Caller<JobsWrite>,
    State(state): State<AppState>,
    PathId(id): PathId<ReplayId>,
) -> Result<Body<Replay>, Problem> {
    let mut tx = state.read(caller.id).await?;
    replays::end(tx.connection(), id, Progress::Cancelled).await?;
    let replay = find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Body(replay))
}

async fn find(tx: &mut TenantTx, id: ReplayId) -> Result<Replay, Problem> {
    let replay = replays::find(tx.connection(), id).await?;
    replay.map(Replay::from).ok_or_else(|| Problem::not_found("replay"))
}
