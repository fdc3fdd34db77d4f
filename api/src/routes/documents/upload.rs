//! Uploading a document.

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use jobs::{
    domain::{document::Status, ids::DocumentId},
    kinds::embed_document::EmbedDocument,
    store::documents::{self, NewDocument},
};

use super::{
    Accepted,
    body::{self, File, Text},
};
use crate::{
    extract::{Caller, Traceparent, scope::DocumentsWrite},
    problem::{Document, Kind, Problem},
    state::AppState,
};

/// Largest body: the largest document and the form around it.
pub const MAX_BODY: usize = jobs::domain::document::MAX_BYTES + 64 * 1024;
/// Bodies up to this size do not need a place among the large ones.
const SMALL: u64 = 1024 * 1024;

/// Uploads a document, as text in JSON or as a file of a form. It can be searched when its status is `ready`.
///
/// PDF, HTML, Markdown, plain text, CSV and JSON are read; the bytes decide, not the name. A document that cannot be
/// read becomes `failed`, with the reason.
#[utoipa::path(
    post, path = "/v1/documents", tag = "documents", operation_id = "upload_document",
    security(("tenant_key" = ["documents:write"])),
    request_body(content((Text = "application/json"), (File = "multipart/form-data"))),
    responses(
        (status = 202, description = "Stored; being read.", body = Accepted),
        (status = 402, description = "The plan's limit of documents is reached.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn upload(
    caller: Caller<DocumentsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1], Json<Accepted>), Problem> {
    let size = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let _place = match size {
        Some(size) if size > MAX_BODY as u64 => return Err(Problem::new(Kind::PayloadTooLarge)),
        Some(..=SMALL) => None,
        _ => Some(state.upload().ok_or_else(|| {
            Problem::unavailable("Too many large uploads at once.").retry_after(Duration::from_secs(5))
        })?),
    };
    let upload = body::read(request).await?;
    let id = DocumentId::generate();
    let document = NewDocument {
        id,
        name: &upload.name,
        content_type: &upload.content_type,
        tags: &upload.tags,
        language: upload.language.as_deref(),
        bytes: &upload.bytes,
    };
    let limit = caller.limits.documents;
    let mut work = state.work(&caller, &trace).await?;
    if !documents::insert(work.tx(), &document, limit).await? {
        let held = documents::count(work.tx()).await?;
        return Err(Problem::plan_limit("documents", limit, held));
    }
    work.enqueue(&EmbedDocument { tenant: caller.id, document: id, version: 1 })?;
    work.commit().await?;
    let location = HeaderValue::from_str(&format!("/v1/documents/{id}")).expect("an id is visible ASCII");
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(Accepted { id, status: Status::Pending })))
}
