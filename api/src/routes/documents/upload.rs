//! Uploading a document.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
};
use jobs::{
    domain::{document::Status, ids::DocumentId},
    kinds::embed_document::EmbedDocument,
    queue::Work,
    store::{
        Originals, TenantTx,
        documents::{self, NewDocument},
        originals::Version,
    },
};

use sha2::{Digest, Sha256};

use super::{
    Accepted,
    body::{self, File, Text, Upload},
};
use crate::{
    extract::{Caller, KeyHeader, Traceparent, Watched, scope::DocumentsWrite},
    once::Answer,
    problem::{Document, Kind, Problem},
    state::AppState,
};

/// Largest body: the largest document and the form around it.
pub const MAX_BODY: usize = jobs::domain::document::MAX_BYTES + 64 * 1024;
/// Bodies up to this size do not need a place among the large ones.
const SMALL: u64 = 1024 * 1024;

/// Uploads a document, as text in JSON or as a file of a form. It can be searched when its status is `ready`.
///
/// PDF, DOCX, PPTX, XLSX, HTML, Markdown, plain text in any common encoding, CSV, JSON and JSON lines are read; the bytes
/// decide, not the name. A document that cannot be read becomes `failed`, with the reason.
#[utoipa::path(
    post, path = "/v1/documents", tag = "documents", operation_id = "upload_document",
    security(("tenant_key" = ["documents:write"])),
    params(KeyHeader),
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
) -> Result<Answer, Problem> {
    let size = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let _place = match size {
        Some(size) if size > MAX_BODY as u64 => return Err(Problem::new(Kind::PayloadTooLarge)),
        Some(..=SMALL) => None,
        _ => Some(state.upload().ok_or_else(|| {
            Problem::unavailable("Too many large uploads at once.").retry_after(Duration::from_secs(5))
        })?),
    };
    let (request, watched) = Watched::begin(request)?;
    let upload = body::read(request).await?;
    let once = watched.end().await?;
    let limit = caller.limits.documents;
    let work = state.work(&caller, &trace).await?;
    once.run(&state.vault, work, async |work| store(&state.originals, work, upload, limit).await).await
}

/// Writes the original first: a row never names bytes that are not there. Where the row is not committed, the original goes
/// with the tenant.
async fn store(
    originals: &Originals,
    work: &mut Work<TenantTx>,
    upload: Upload,
    limit: i64,
) -> Result<Answer, Problem> {
    let id = DocumentId::generate();
    let tenant = work.tx().tenant();
    let document = NewDocument {
        id,
        name: &upload.name,
        content_type: &upload.content_type,
        tags: &upload.tags,
        language: upload.language.as_deref(),
        size: upload.bytes.len(),
        checksum: Sha256::digest(&upload.bytes).into(),
    };
    if !documents::insert(work.tx(), &document, limit).await? {
        let held = documents::count(work.tx()).await?;
        return Err(Problem::plan_limit("documents", limit, held));
    }
    originals.put(Version { tenant, document: id, version: 1 }, upload.bytes).await?;
    work.enqueue(&EmbedDocument { tenant, document: id, version: 1 })?;
    let accepted = Accepted { id, status: Status::Pending };
    Ok(Answer::new(StatusCode::ACCEPTED, &accepted)?.at(format!("/v1/documents/{id}")))
}
