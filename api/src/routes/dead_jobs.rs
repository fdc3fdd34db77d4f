//! Jobs that gave up: looked at, run again, discarded.

pub mod replays;

mod filter;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::JobId,
    kinds::replay_dead_jobs::{self, Single},
    store::{Scope, dead_jobs},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use self::filter::Selection;
use crate::{
    extract::{
        Caller, Json, KeyHeader, Keyed, NoBody, PathId, Query, Traceparent,
        scope::{JobsWrite, Read},
    },
    once::Answer,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    state::AppState,
};

/// Jobs that one request discards at most, and those of one transaction.
const MAX_DISCARDED: u64 = 10_000;
const DISCARD_BATCH: i64 = 1_000;

#[derive(Debug, Serialize, ToSchema)]
pub struct DeadJob {
    #[schema(value_type = String, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: JobId,
    #[schema(example = "deliver_webhook")]
    kind: String,
    /// What it worked on.
    key: String,
    #[schema(value_type = Object)]
    payload: Value,
    /// Runs it had.
    attempts: i32,
    /// What the last run failed on.
    #[schema(example = "answered 404")]
    cause: String,
    /// The trace of the request that it came from (W3C Trace Context).
    #[schema(example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    traceparent: Option<String>,
    created_at: DateTime<Utc>,
    died_at: DateTime<Utc>,
}

impl From<dead_jobs::DeadJob> for DeadJob {
    fn from(stored: dead_jobs::DeadJob) -> Self {
        Self {
            id: stored.id,
            kind: stored.kind,
            key: stored.key,
            payload: stored.payload,
            attempts: stored.attempt,
            cause: stored.cause,
            traceparent: stored.traceparent,
            created_at: stored.created_at,
            died_at: stored.died_at,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
    /// Only jobs of this kind.
    #[param(example = "deliver_webhook")]
    kind: Option<String>,
    /// Only jobs with this text in their cause.
    #[param(example = "answered 404", min_length = 1, max_length = 200)]
    cause_contains: Option<String>,
    /// Only jobs that died at this time or later.
    died_after: Option<DateTime<Utc>>,
    /// Only jobs that died before this time.
    died_before: Option<DateTime<Utc>>,
}

/// Lists the tenant's dead jobs, the latest death first.
#[utoipa::path(
    get, path = "/v1/jobs/dead", tag = "jobs", operation_id = "list_dead_jobs",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<DeadJob>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(parameters): Query<Parameters>,
) -> Result<Body<List<DeadJob>>, Problem> {
    let Parameters { limit, cursor, kind, cause_contains, died_after, died_before } = parameters;
    let page = Page::parse("dead-jobs", limit, cursor.as_deref())?;
    let mut fields = Fields::default();
    let selection = Selection { kind, cause_contains, died_after, died_before, all: None };
    let filter = selection.filter(caller.id, &mut fields);
    fields.finish()?;
    let mut tx = state.read(caller.id).await?;
    let rows = dead_jobs::list(tx.connection(), &filter, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |job| job.position())))
}

/// Reads a dead job.
#[utoipa::path(
    get, path = "/v1/jobs/dead/{id}", tag = "jobs", operation_id = "read_dead_job",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The job.", body = DeadJob))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<JobId>,
) -> Result<Body<DeadJob>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let job = dead_jobs::find(tx.connection(), id).await?;
    tx.commit().await?;
    job.map(|job| Body(job.into())).ok_or_else(|| Problem::not_found("dead job"))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayedJob)]
pub struct Replayed {
    #[schema(value_type = String, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: JobId,
    #[schema(example = "deliver_webhook")]
    kind: String,
    #[schema(example = "queued")]
    status: &'static str,
}

/// Runs a dead job again, under the same id and with all its attempts.
///
/// A webhook is delivered with the same `webhook-id`; a failed document is read again. A message that failed has
/// ended and stays failed: its jobs run, find that, and change nothing. Submit the question again instead.
#[utoipa::path(
    post, path = "/v1/jobs/dead/{id}/replay", tag = "jobs", operation_id = "replay_dead_job",
    security(("tenant_key" = ["jobs:write"])),
    params(("id" = String, Path, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    responses(
        (status = 202, description = "Queued.", body = Replayed),
        (status = 409, description = "The same work is queued under another job already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn replay(
    caller: Caller<JobsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    PathId(id): PathId<JobId>,
    Keyed { once, .. }: Keyed<NoBody>,
) -> Result<Answer, Problem> {
    let work = state.work(&caller, &trace).await?;
    once.run(&state.vault, work, async |work| {
        let kind = match replay_dead_jobs::single(work.tx(), id).await? {
            Single::Queued(kind) => kind,
            Single::AlreadyQueued => return Err(Problem::new(Kind::AlreadyQueued)),
            Single::Missing => return Err(Problem::not_found("dead job")),
        };
        Answer::new(StatusCode::ACCEPTED, &Replayed { id, kind, status: "queued" })
    })
    .await
}

/// Deletes a dead job for good: it cannot be replayed any more.
#[utoipa::path(
    delete, path = "/v1/jobs/dead/{id}", tag = "jobs", operation_id = "discard_dead_job",
    security(("tenant_key" = ["jobs:write"])),
    params(("id" = String, Path, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Deleted."))
)]
pub async fn discard(
    caller: Caller<JobsWrite>,
    State(state): State<AppState>,
    PathId(id): PathId<JobId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.read(caller.id).await?;
    let discarded = dead_jobs::discard(tx.connection(), id).await?;
    tx.commit().await?;
    match discarded {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("dead job")),
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DiscardedJobs)]
pub struct Discarded {
    /// How many were deleted.
    discarded: u64,
    /// 10 000 were deleted, the most of one request, and there may be others: send it again.
    more: bool,
}

/// Deletes the dead jobs of a filter for good, the earliest deaths first.
#[utoipa::path(
    post, path = "/v1/jobs/dead/discard", tag = "jobs", operation_id = "discard_dead_jobs",
    security(("tenant_key" = ["jobs:write"])),
    request_body = Selection,
    responses((status = 200, description = "How many were deleted.", body = Discarded))
)]
pub async fn discard_matching(
    caller: Caller<JobsWrite>,
    State(state): State<AppState>,
    Json(selection): Json<Selection>,
) -> Result<Body<Discarded>, Problem> {
    let mut fields = Fields::default();
    selection.must_choose(&mut fields);
    let filter = selection.filter(caller.id, &mut fields);
    fields.finish()?;
    let until = Utc::now();
    let mut discarded = 0;
    while discarded < MAX_DISCARDED {
        let mut tx = state.read(caller.id).await?;
        let deleted = dead_jobs::discard_some(tx.connection(), &filter, until, DISCARD_BATCH).await?;
        tx.commit().await?;
        discarded += deleted;
        if deleted < DISCARD_BATCH.unsigned_abs() {
            break;
        }
    }
    Ok(Body(Discarded { discarded, more: discarded >= MAX_DISCARDED }))
}
