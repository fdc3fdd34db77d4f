//! A tenant's customers, by the ids that the tenant gave them: taking their data away, and erasing it.

use axum::{Extension, Json, extract::State, http::StatusCode, response::Response};
use jobs::{
    domain::erasure::{Requester, Subject},
    kinds::erase,
    store::{Scope, conversations, erasures},
};

use crate::{
    extract::{Caller, ContactId, Traceparent, scope},
    problem::{Document, Problem},
    request_id::RequestId,
    routes::{
        erasures::Erasing,
        exports::{self, Walk},
    },
    state::AppState,
};

/// Erases a contact: the conversations it has had until now, with all that hangs on them. What it writes afterwards is new.
#[utoipa::path(
    delete, path = "/v1/contacts/{contact_id}", tag = "data", operation_id = "delete_contact",
    security(("tenant_key" = ["admin"])),
    params(("contact_id" = String, Path, description = "Percent-encoded.", example = "customer-4711")),
    responses((status = 202, description = "Being erased.", body = Erasing))
)]
pub async fn delete(
    caller: Caller<scope::Admin>,
    State(state): State<AppState>,
    trace: Traceparent,
    Extension(request): Extension<RequestId>,
    ContactId(contact): ContactId,
) -> Result<(StatusCode, Json<Erasing>), Problem> {
    let mut work = state.work(&caller, &trace).await?;
    let known = conversations::has_contact(work.tx(), &contact).await?;
    let subject = Subject::Contact(contact);
    if !known && erasures::running(work.tx().connection(), caller.id, &subject).await?.is_none() {
        return Err(Problem::not_found("contact"));
    }
    let erasure = erase::request(&mut work, caller.id, &subject, Requester::Tenant, &request.to_string()).await?;
    work.commit().await?;
    Ok((StatusCode::ACCEPTED, Json(Erasing::of(erasure))))
}

/// Exports a contact's conversations as lines of JSON, each `{"type": …, "data": …}` in the API's shapes; the last one is
/// of type `end`, and without it the export is not whole.
#[utoipa::path(
    get, path = "/v1/contacts/{contact_id}/export", tag = "data", operation_id = "export_contact",
    security(("tenant_key" = ["admin"])),
    params(("contact_id" = String, Path, description = "Percent-encoded.", example = "customer-4711")),
    responses(
        (status = 200, description = "The lines, as they are read.", content_type = exports::NDJSON, body = String),
        (status = 503, description = "Too many exports are running.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn export(
    caller: Caller<scope::Admin>,
    State(state): State<AppState>,
    ContactId(contact): ContactId,
) -> Result<Response, Problem> {
    let mut tx = state.read(caller.id).await?;
    let known = conversations::has_contact(&mut tx, &contact).await?;
    tx.commit().await?;
    match known {
        true => exports::send(state, &caller, Walk::Contact(contact)),
        false => Err(Problem::not_found("contact")),
    }
}
