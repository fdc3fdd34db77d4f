//! Documents: uploaded, then watched until they can be searched.

pub mod upload;

mod body;

use axum::{Extension, Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        document::Status,
        erasure::{Requester, Subject},
        ids::DocumentId,
    },
    kinds::erase,
    store::{
        Scope,
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
    page::{List, Page},
    problem::Problem,
    request_id::RequestId,
    routes::erasures::Erasing,
    state::AppState,
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
    /// `pending`, `processing`, `ready` or `failed`.
    #[schema(example = "ready")]
    status: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    version: i32,
    size_bytes: i64,
    /// Passages that searches can find.
    chunk_count: i32,
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
            size_bytes: stored.size_bytes,
            chunk_count: stored.chunk_count,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
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
}

/// Reads a document's state.
#[utoipa::path(
    get, path = "/v1/documents/{id}", tag = "documents", operation_id = "read_document",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The document.", body = Document))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<DocumentId>,
) -> Result<Json<Document>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let document = documents::show(&mut tx, id).await?;
    tx.commit().await?;
    document.map(|document| Json(document.into())).ok_or_else(|| Problem::not_found("document"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
    /// Only documents in this state.
    #[param(value_type = Option<String>, example = "ready")]
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
