//! Documents: uploaded, then watched until they can be searched.

pub mod body;
pub mod replace;
pub mod upload;

use axum::{Extension, Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        document::Status,
        erasure::{Requester, Subject},
        ids::DocumentId,
    },
    kinds::{embed_document::EmbedDocument, erase},
    queue::{Work, signals::Topic},
    store::{
        Scope, TenantTx,
        documents::{self, Document as Stored},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{
        Caller, PathId, Query, Traceparent,
        scope::{DocumentsWrite, Read},
    },
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::Problem,
    request_id::RequestId,
    routes::erasures::Erasing,
    state::AppState,
    waiting::{self, Waiter},
};

#[derive(Debug, Serialize, ToSchema)]
pub struct Document {
    #[schema(value_type = String, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: DocumentId,
    #[schema(example = "Returns and refunds")]
    name: String,
    /// As claimed at the upload.
    #[schema(example = "text/markdown")]
    content_type: String,
    tags: Vec<String>,
    language: Option<String>,
    /// Of the newest version: `pending`, `processing`, `ready`, `failed`, or `stale`: no longer searchable, since it could not be
    /// embedded by the model that searches have moved to.
    #[schema(example = "ready")]
    status: String,
    /// Why it failed, or is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The newest.
    version: i32,
    /// The version that searches find: an older one until the newest is `ready`, and when that failed.
    searchable_version: Option<i32>,
    size_bytes: i64,
    /// Passages that searches can find.
    chunk_count: i32,
    /// How far the newest version has come; absent until it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Stored> for Document {
    fn from(stored: Stored) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            content_type: stored.content_type,
            tags: stored.tags,
            language: stored.language,
            status: stored.status,
            reason: stored.reason,
            version: stored.version,
            searchable_version: stored.ready_version,
            size_bytes: stored.size_bytes,
            chunk_count: stored.chunk_count,
            progress: stored.progress.map(Progress::from),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// Counts of passages, and of pages where the format has them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentProgress)]
struct Progress {
    #[schema(example = 128)]
    chunks_done: i32,
    #[schema(example = 512)]
    chunks_total: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 75)]
    pages_done: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 300)]
    pages_total: Option<i32>,
}

impl From<documents::Progress> for Progress {
    fn from(stored: documents::Progress) -> Self {
        let documents::Progress { chunks_done, chunks_total, pages_done, pages_total } = stored;
        Self { chunks_done, chunks_total, pages_done, pages_total }
    }
}

/// What became of an upload; the rest follows in the background.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AcceptedDocument)]
pub struct Accepted {
    #[schema(value_type = String, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: DocumentId,
    #[schema(value_type = String, example = "pending")]
    status: Status,
    /// The newest version.
    #[schema(example = 1)]
    version: i32,
    /// Whether it was there already, with these bytes, this name, these tags and this language: nothing was stored.
    unchanged: bool,
}

impl Accepted {
    fn new(id: DocumentId, version: i32, status: Status) -> Self {
        Self { id, status, version, unchanged: false }
    }
}

/// Answers for a document that is there already; one that failed, or is stale, is tried again.
async fn as_it_is(work: &mut Work<TenantTx>, id: DocumentId, version: i32, status: Status) -> Result<Answer, Problem> {
    if !matches!(status, Status::Failed | Status::Stale) {
        let accepted = Accepted { unchanged: true, ..Accepted::new(id, version, status) };
        return Ok(Answer::new(StatusCode::OK, &accepted)?.at(format!("/v1/documents/{id}")));
    }
    documents::retry(work.tx(), id).await?;
    embed(work, id, version)
}

/// Has a version embedded, and answers.
fn embed(work: &mut Work<TenantTx>, id: DocumentId, version: i32) -> Result<Answer, Problem> {
    let tenant = work.tx().tenant();
    work.enqueue(&EmbedDocument { tenant, document: id, version })?;
    let accepted = Accepted::new(id, version, Status::Pending);
    Ok(Answer::new(StatusCode::ACCEPTED, &accepted)?.at(format!("/v1/documents/{id}")))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds, 0 to 60, to wait until the document is `ready` or `failed`.
    #[param(maximum = 60, example = 20)]
    wait: Option<u64>,
}

/// Reads a document's state and how far it has come; with `wait`, as soon as nothing is under way or the wait is over.
#[utoipa::path(
    get, path = "/v1/documents/{id}", tag = "documents", operation_id = "read_document",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), Wait),
    responses((status = 200, description = "The document.", body = Document))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<DocumentId>,
    Query(Wait { wait }): Query<Wait>,
) -> Result<Json<Document>, Problem> {
    let wait = waiting::asked(wait)?;
    let place = if wait.is_zero() { None } else { state.waiter() };
    let mut waiter = Waiter::new(&state, Topic::Progress, id.uuid(), wait);
    loop {
        let mut tx = state.read(caller.id).await?;
        let document = documents::show(&mut tx, id).await?.ok_or_else(|| Problem::not_found("document"))?;
        tx.commit().await?;
        let settled = Status::parse(&document.status).is_none_or(Status::is_settled);
        if settled || place.is_none() || !waiter.moved_on().await {
            return Ok(Json(document.into()));
        }
    }
}

/// Reads a document anew that is `failed` or `stale`, from the original, which is kept; any other stays as it is.
#[utoipa::path(
    post, path = "/v1/documents/{id}/retry", tag = "documents", operation_id = "retry_document",
    security(("tenant_key" = ["documents:write"])),
    params(("id" = String, Path, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 202, description = "The document's state.", body = Accepted))
)]
pub async fn retry(
    caller: Caller<DocumentsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    PathId(id): PathId<DocumentId>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let mut work = state.work(&caller, &trace).await?;
    let found = documents::retry(work.tx(), id).await?;
    let (status, version) = found.ok_or_else(|| Problem::not_found("document"))?;
    if status == Status::Pending {
        work.enqueue(&EmbedDocument { tenant: caller.id, document: id, version })?;
    }
    work.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Accepted::new(id, version, status))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
    /// Only documents in this state.
    #[param(schema_with = schemas::document_status, required = false)]
    status: Option<Status>,
}

/// Lists documents, newest first.
#[utoipa::path(
    get, path = "/v1/documents", tag = "documents", operation_id = "list_documents",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Document>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor, status }): Query<Parameters>,
) -> Result<Json<List<Document>>, Problem> {
    let page = Page::parse("documents", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = documents::list(&mut tx, status, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |document| document.id)))
}

/// Erases a document: no search finds it from now on; its vectors, its original and its events follow in the background.
#[utoipa::path(
    delete, path = "/v1/documents/{id}", tag = "documents", operation_id = "delete_document",
    security(("tenant_key" = ["documents:write"])),
    params(("id" = String, Path, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 202, description = "Being erased.", body = Erasing))
)]
pub async fn delete(
    caller: Caller<DocumentsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    Extension(request): Extension<RequestId>,
    PathId(id): PathId<DocumentId>,
) -> Result<(StatusCode, Json<Erasing>), Problem> {
    let mut work = state.work(&caller, &trace).await?;
    if !documents::mark_deleting(work.tx(), id).await? {
        return Err(Problem::not_found("document"));
    }
    let subject = Subject::Document(id);
    let erasure = erase::request(&mut work, caller.id, &subject, Requester::Tenant, &request.to_string()).await?;
    work.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Erasing::of(erasure))))
}
