//! Webhook endpoints.

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{audit::Action, event::EventType, ids::EndpointId},
    store::{
        Scope, audit,
        endpoints::{self, NewEndpoint},
    },
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::{
    credentials,
    extract::{
        Caller, Json, KeyHeader, Keyed, PathId, Query, Traceparent,
        scope::{Read, WebhooksWrite},
    },
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Longest URL, in characters.
const MAX_URL: usize = 2048;
/// Most endpoints of a tenant: every event is looked at by each.
const MAX_ENDPOINTS: i64 = 100;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookEndpoint)]
pub struct Request {
    /// Public; https recommended.
    #[schema(pattern = "^https?://", max_length = 2048, example = "https://example.com/hooks/metachat")]
    url: String,
    /// Types of events to receive; empty or absent, all.
    #[serde(default)]
    #[schema(schema_with = schemas::event_types)]
    event_types: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookEndpoint)]
pub struct Endpoint {
    #[schema(value_type = String, example = "whe_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: EndpointId,
    url: String,
    /// Empty: all.
    #[schema(schema_with = schemas::event_types)]
    event_types: Vec<String>,
    enabled: bool,
    /// Why it was switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    created_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedWebhookEndpoint)]
pub struct Created {
    #[serde(flatten)]
    endpoint: Endpoint,
    /// Signs deliveries, by Standard Webhooks. Shown once.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfsDEW7OCI=")]
    secret: String,
}

impl From<endpoints::Endpoint> for Endpoint {
    fn from(stored: endpoints::Endpoint) -> Self {
        Self {
            id: stored.id,
            url: stored.url,
            event_types: stored.event_types,
            enabled: stored.enabled,
            disabled_reason: stored.disabled_reason,
            created_at: stored.created_at,
        }
    }
}

/// Adds a webhook endpoint.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", tag = "events", operation_id = "create_webhook_endpoint",
    security(("tenant_key" = ["webhooks:write"])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 201, description = "The endpoint and its secret.", body = Created),
        (status = 409, description = "There are 100 endpoints already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn create(
    caller: Caller<WebhooksWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    request_id: RequestId,
    Keyed { once, body: Json(request) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    let mut fields = Fields::default();
    fields.text("url", &request.url, 1..=MAX_URL);
    fields.keep("url", state.egress.check_url(&request.url));
    let mut event_types = Vec::new();
    for (at, name) in request.event_types.iter().enumerate() {
        match EventType::parse(name) {
            Some(kind) if event_types.contains(&kind) => {}
            Some(kind) => event_types.push(kind),
            None => fields.refuse(format!("event_types[{at}]"), "is not a type of the catalogue at /v1/event-types"),
        }
    }
    fields.finish()?;
    let work = state.work(&caller, &trace).await?;
    // The answer shows a secret.
    let author = caller.author(request_id);
    let once = once.by(&author);
    once.run(&state.vault, work, async |work| {
        let (id, secret) = (EndpointId::generate(), credentials::signing_secret());
        let new = NewEndpoint { id, url: &request.url, event_types: &event_types, secret: &secret };
        if !endpoints::insert(work.tx(), &state.vault, &new, MAX_ENDPOINTS).await? {
            return Err(Problem::new(Kind::LimitReached).with("limit", MAX_ENDPOINTS));
        }
        let stored = endpoints::find(work.tx(), id).await?.ok_or_else(|| Problem::not_found("webhook endpoint"))?;
        let after = json!({ "url": stored.url, "event_types": stored.event_types });
        let entry = author.made(Some(caller.id), Action::EndpointCreated, id, after);
        audit::record(work.tx().connection(), &entry).await?;
        let created = Created { endpoint: stored.into(), secret: secret.expose_secret().to_owned() };
        Answer::secret(StatusCode::CREATED, &created)
    })
    .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Lists webhook endpoints, newest first, without their secrets.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", tag = "events", operation_id = "list_webhook_endpoints",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Endpoint>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Endpoint>>, Problem> {
    let page = Page::parse("webhook-endpoints", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = endpoints::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |endpoint| endpoint.id)))
}

/// Reads a webhook endpoint, without its secret.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}", tag = "events", operation_id = "read_webhook_endpoint",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "whe_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The endpoint.", body = Endpoint))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<EndpointId>,
) -> Result<Body<Endpoint>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let endpoint = endpoints::find(&mut tx, id).await?;
    tx.commit().await?;
    endpoint.map(|endpoint| Body(endpoint.into())).ok_or_else(|| Problem::not_found("webhook endpoint"))
}

/// Removes a webhook endpoint; deliveries that wait for it are dropped.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{id}", tag = "events", operation_id = "delete_webhook_endpoint",
    security(("tenant_key" = ["webhooks:write"])),
    params(("id" = String, Path, example = "whe_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Removed."))
)]
pub async fn delete(
    caller: Caller<WebhooksWrite>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<EndpointId>,
) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found("webhook endpoint");
    let mut tx = state.read(caller.id).await?;
    let stored = endpoints::find(&mut tx, id).await?.ok_or_else(unknown)?;
    // Two requests may have found it.
    if !endpoints::delete(&mut tx, id).await? {
        return Err(unknown());
    }
    let author = caller.author(request_id);
    let before = json!({ "url": stored.url, "event_types": stored.event_types });
    audit::record(tx.connection(), &author.ended(Some(caller.id), Action::EndpointDeleted, id, before)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
