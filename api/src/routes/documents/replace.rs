//! A new version of a document.

use axum::{
    extract::{Request, State},
    http::StatusCode,
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

use super::{
    Accepted, as_it_is,
    body::{File, Text},
    embed,
    upload::{described, forget, moved, receive},
};
use crate::{
    extract::{Caller, PathId, Traceparent, scope::DocumentsWrite},
    once::{Answer, Once},
    problem::Problem,
    state::AppState,
};

/// Replaces a document. Searches find the version they have until the new one is `ready`, then that one, at once; should it fail,
/// they keep it. Of several uploads under way the one that was sent last stays. The same bytes again, under the same name, with the
/// same tags and language, change nothing.
#[utoipa::path(
    put, path = "/v1/documents/{id}", tag = "documents", operation_id = "replace_document",
    security(("tenant_key" = ["documents:write"])),
    params(("id" = String, Path, example = "doc_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    request_body(content((Text = "application/json"), (File = "multipart/form-data"))),
    responses(
        (status = 200, description = "It is the newest version already: nothing was stored.", body = Accepted),
        (status = 202, description = "Stored; being read. Or overtaken by a later upload.", body = Accepted),
    )
)]
pub async fn replace(
    caller: Caller<DocumentsWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    PathId(id): PathId<DocumentId>,
    request: Request,
) -> Result<Answer, Problem> {
    // Before a body is read for it.
    let mut tx = state.read(caller.id).await?;
    documents::show(&mut tx, id).await?.ok_or_else(|| Problem::not_found("document"))?;
    tx.commit().await?;
    let (_place, _, upload) = receive(&state, request).await?;
    let (tenant, described) = (caller.id, described(&upload));
    let mut tx = state.read(tenant).await?;
    let reserved = match document_versions::same(&mut tx, Some(id), &described).await? {
        Some(_) => None,
        None => document_versions::reserve(&mut tx, id).await?,
    };
    tx.commit().await?;
    let prepared = reserved.map(|version| Version { tenant, document: id, version });
    if let Some(version) = prepared {
        state.originals.put(version, upload.bytes.clone()).await?;
    }
    let (mut named, mut nobodys) = (false, Vec::new());
    let work = state.work(&caller, &trace).await?;
    let store = async |work: &mut Work<TenantTx>| match document_versions::replace(work.tx(), id, reserved, &described)
        .await?
    {
        Stored::Newest { version, superseded } => {
            (named, nobodys) = (true, superseded);
            embed(work, id, version)
        }
        Stored::Unchanged { document, version, status } => as_it_is(work, document, version, status).await,
        Stored::Overtaken { version, status } => Answer::new(StatusCode::ACCEPTED, &Accepted::new(id, version, status)),
        Stored::Missing => Err(Problem::not_found("document")),
        Stored::Unprepared | Stored::Full => Err(moved()),
    };
    let answer = Once::NO_KEY.run(&state.vault, work, store).await;
    if let Some(version) = prepared.filter(|_| !named) {
        forget(&state, version).await;
    }
    if answer.is_ok() {
        for version in nobodys {
            forget(&state, Version { tenant, document: id, version }).await;
        }
    }
    answer
}
