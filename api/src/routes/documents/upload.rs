//! Uploading a document.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::header,
};
use jobs::{
    domain::ids::DocumentId,
    queue::Work,
    store::{
        Scope, TenantTx,
        document_versions::{self, Stored},
        documents,
        originals::Version,
    },
};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Accepted, as_it_is,
    body::{self, File, Text, Upload},
    embed,
};
use crate::{
    extract::{Caller, KeyHeader, Traceparent, Watched, scope::DocumentsWrite},
    once::{Answer, Once},
    problem::{Document, Kind, Problem},
    state::AppState,
};

/// Largest body: the largest document and the form around it.
pub const MAX_BODY: usize = jobs::domain::document::MAX_BYTES + 64 * 1024;
/// Bodies up to this size do not need a place among the large ones.
const SMALL: u64 = 1024 * 1024;

/// Uploads a document, as text in JSON or as a file of a form. It can be searched when its status is `ready`. The same bytes under
/// the same name, with the same tags and language, are stored once.
///
/// PDF, DOCX, PPTX, XLSX, HTML, Markdown, plain text in any common encoding, CSV, JSON and JSON lines are read; the bytes
/// decide, not the name. A document that cannot be read becomes `failed`, with the reason.
#[utoipa::path(
    post, path = "/v1/documents", tag = "documents", operation_id = "upload_document",
    security(("tenant_key" = ["documents:write"])),
    params(KeyHeader),
    request_body(content((Text = "application/json"), (File = "multipart/form-data"))),
    responses(
        (status = 200, description = "It is there already: nothing was stored.", body = Accepted),
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
    let (_place, once, upload) = receive(&state, request).await?;
    let (id, tenant, limit) = (DocumentId::generate(), caller.id, caller.limits.documents);
    let described = described(&upload);
    // Most of what is there already, or finds no room, is not written at all. What is certain is said below.
    let mut tx = state.read(tenant).await?;
    let same = document_versions::same(&mut tx, None, &described).await?;
    let prepared = same.is_none() && documents::count(&mut tx).await? < limit;
    tx.commit().await?;
    let version = Version { tenant, document: id, version: 1 };
    if prepared {
        state.originals.put(version, upload.bytes.clone()).await?;
    }
    let mut named = false;
    let work = state.work(&caller, &trace).await?;
    let store = async |work: &mut Work<TenantTx>| {
        let stored = document_versions::insert(work.tx(), id, &described, limit, prepared).await?;
        match stored {
            Stored::Newest { version, .. } => {
                named = true;
                embed(work, id, version)
            }
            Stored::Unchanged { document, version, status } => as_it_is(work, document, version, status).await,
            Stored::Full => Err(Problem::plan_limit("documents", limit, documents::count(work.tx()).await?)),
            Stored::Unprepared | Stored::Overtaken { .. } | Stored::Missing => Err(moved()),
        }
    };
    let answer = once.run(&state.vault, work, store).await;
    if prepared && !named {
        forget(&state, version).await;
    }
    answer
}

/// A body, with a place among the large ones where it needs one.
pub(super) async fn receive(
    state: &AppState,
    request: Request,
) -> Result<(Option<OwnedSemaphorePermit>, Once, Upload), Problem> {
    let size = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let place = match size {
        Some(size) if size > MAX_BODY as u64 => return Err(Problem::new(Kind::PayloadTooLarge)),
        Some(..=SMALL) => None,
        _ => Some(state.upload().ok_or_else(|| {
            Problem::unavailable("Too many large uploads at once.").retry_after(Duration::from_secs(5))
        })?),
    };
    let (request, watched) = Watched::begin(request)?;
    let upload = body::read(request).await?;
    Ok((place, watched.end().await?, upload))
}

pub(super) fn described(upload: &Upload) -> document_versions::Upload<'_> {
    document_versions::Upload {
        name: &upload.name,
        content_type: &upload.content_type,
        tags: &upload.tags,
        language: upload.language.as_deref(),
        size: upload.bytes.len(),
        checksum: Sha256::digest(&upload.bytes).into(),
    }
}

/// The documents changed between the two looks at them.
pub(super) fn moved() -> Problem {
    Problem::unavailable("The documents changed meanwhile. Send it again.").retry_after(Duration::from_secs(1))
}

/// Removes bytes that no row was made for. What is left, the job `sweep_originals` removes.
pub(super) async fn forget(state: &AppState, version: Version) {
    if let Err(error) = state.originals.erase_version(version).await {
        tracing::warn!(%error, "bytes that were not needed are left to the sweep");
    }
}
