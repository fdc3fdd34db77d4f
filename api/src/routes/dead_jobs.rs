//! Jobs that gave up, and their replay.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::JobId,
    kinds::{self, embed_document::EmbedDocument},
    queue::{Envelope, Job},
    store::{Scope, StoreError, TenantTx, dead_jobs, documents},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Caller, PathId, Query},
    page::{List, Page},
    problem::{Document, Problem},
    state::AppState,
};

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
}

/// Lists the tenant's dead jobs, newest first.
#[utoipa::path(
    get, path = "/v1/jobs/dead", tag = "jobs", operation_id = "list_dead_jobs",
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<DeadJob>))
)]
pub async fn list(
    caller: Caller,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor, kind }): Query<Parameters>,
) -> Result<Json<List<DeadJob>>, Problem> {
    let page = Page::parse("dead-jobs", limit, cursor.as_deref())?;
    let kind = match kind {
        Some(name) => Some(known(&name).ok_or_else(|| Problem::field("kind", "is not a kind of job"))?),
        None => None,
    };
    let mut tx = state.read(caller.id).await?;
    let rows = dead_jobs::list(&mut tx, kind, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |job| job.id)))
}

/// Reads a dead job.
#[utoipa::path(
    get, path = "/v1/jobs/dead/{id}", tag = "jobs", operation_id = "read_dead_job",
    params(("id" = String, Path, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The job.", body = DeadJob))
)]
pub async fn read(
    caller: Caller,
    State(state): State<AppState>,
    PathId(id): PathId<JobId>,
) -> Result<Json<DeadJob>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let job = dead_jobs::find(&mut tx, id).await?;
    tx.commit().await?;
    job.map(|job| Json(job.into())).ok_or_else(|| Problem::not_found("dead job"))
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
    params(("id" = String, Path, example = "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses(
        (status = 202, description = "Queued.", body = Replayed),
        (status = 409, description = "The same work is queued under another job already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn replay(
    caller: Caller,
    State(state): State<AppState>,
    PathId(id): PathId<JobId>,
) -> Result<(StatusCode, Json<Replayed>), Problem> {
    let mut tx = state.read(caller.id).await?;
    let job = dead_jobs::replay(&mut tx, id).await?.ok_or_else(|| Problem::not_found("dead job"))?;
    if job.kind == EmbedDocument::KIND {
        reopen(&mut tx, &job.payload).await?;
    }
    tx.commit().await?;
    let replayed = Replayed { id, kind: job.kind.clone(), status: "queued" };
    // A kind this version does not know is left to the relay, which says so.
    if let Some(kind) = known(&job.kind) {
        state.dispatcher.dispatch(kind, Envelope::relayed(job));
    }
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}

/// Takes back that the document failed.
async fn reopen(tx: &mut TenantTx, payload: &Value) -> Result<(), StoreError> {
    let EmbedDocument { document, version, .. } = EmbedDocument::deserialize(payload)?;
    documents::mark_pending(tx, document, version).await
}

fn known(kind: &str) -> Option<&'static str> {
    kinds::names().into_iter().find(|name| *name == kind)
}
