//! A tenant's or a contact's data as lines of JSON.
//!
//! A walk by key, page after page, each page one short transaction: no snapshot is held while a client reads slowly. What
//! exists when the walk begins and is not erased meanwhile is in it; what comes later may be. Memory is bounded by a page,
//! and by a part of a document's original.

mod walk;

use std::{io, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use jobs::store::tenants::Tenant;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use crate::{
    extract::{Caller, Query, scope},
    problem::{Document, Problem},
    state::AppState,
};
use walk::Writer;

pub const NDJSON: &str = "application/x-ndjson";
/// Longest export. The next one begins anew.
const LIFE: Duration = Duration::from_secs(3600);
/// Pieces that wait for a slow client.
const AHEAD: usize = 2;

/// Whose data.
#[derive(Debug, Clone)]
pub enum Walk {
    Tenant { originals: bool },
    Contact(String),
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Whether documents carry their uploaded bytes, as base64 in `original`.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    originals: bool,
}

/// Exports all of a tenant's data as lines of JSON, each `{"type": …, "data": …}` in the API's shapes: the tenant, its
/// usage, documents, channels, webhook endpoints, conversations with their transcripts, messages and escalations, and
/// events. No secret is among it. The last line is of type `end`, and without it the export is not whole.
#[utoipa::path(
    get, path = "/v1/export", tag = "data", operation_id = "export_tenant",
    security(("tenant_key" = ["admin"])),
    params(Parameters),
    responses(
        (status = 200, description = "The lines, as they are read.", content_type = NDJSON, body = String),
        (status = 503, description = "Too many exports are running.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn export(
    caller: Caller<scope::Admin>,
    State(state): State<AppState>,
    Query(Parameters { originals }): Query<Parameters>,
) -> Result<Response, Problem> {
    send(state, &caller, Walk::Tenant { originals })
}

/// Begins to send an export.
pub fn send(state: AppState, tenant: &Tenant, walk: Walk) -> Result<Response, Problem> {
    let place = state
        .export()
        .ok_or_else(|| Problem::unavailable("Too many exports are running.").retry_after(Duration::from_secs(30)))?;
    let (out, mut pieces) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let tenant = tenant.clone();
    tokio::spawn(async move {
        let _place = place;
        let mut writer = Writer::new(state, tenant, out.clone());
        let problem = match tokio::time::timeout(LIFE, writer.write(&walk)).await {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => problem,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "the export took too long"),
        };
        tracing::warn!(%problem, "export broke off");
        // Cuts the connection, so that the client sees that it is not whole. Without a place for it, the client is gone.
        let _ = out.try_send(Err(problem));
    });
    let body = stream! {
        while let Some(piece) = pieces.recv().await {
            yield piece;
        }
    };
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(body)).into_response())
}
