//! A tenant's requests.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::{ApiKeyId, RequestLogId},
    store::{Scope, api_logs},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Caller, Query, scope},
    page::{List, Page},
    problem::Problem,
    state::AppState,
};

/// A request, as it was answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedRequest {
    #[schema(value_type = String, example = "log_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: RequestLogId,
    /// The answer's `X-Request-Id`.
    #[schema(example = "req_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    request_id: String,
    /// The key it came with.
    #[schema(value_type = Option<String>, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    api_key_id: Option<ApiKeyId>,
    /// `other` for a method that no route takes.
    #[schema(example = "GET")]
    method: String,
    /// As in this description, with its parameters' names.
    #[schema(example = "/v1/messages/{id}")]
    route: String,
    #[schema(example = 200)]
    status: i16,
    /// Until the answer began, in milliseconds.
    #[schema(example = 3.25)]
    duration_ms: f64,
    created_at: DateTime<Utc>,
}

impl From<api_logs::Entry> for LoggedRequest {
    fn from(stored: api_logs::Entry) -> Self {
        Self {
            id: stored.id,
            request_id: stored.request_id,
            api_key_id: stored.key,
            method: stored.method,
            route: stored.route,
            status: stored.status,
            duration_ms: stored.duration_us as f64 / 1000.0,
            created_at: stored.created_at,
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
}

/// Lists the tenant's requests, newest first. A request appears within a second or two; under a load that the database
/// cannot keep up with, requests are left out.
#[utoipa::path(
    get, path = "/v1/api-logs", tag = "logs", operation_id = "list_api_logs",
    security(("tenant_key" = ["admin"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<LoggedRequest>))
)]
pub async fn list(
    caller: Caller<scope::Admin>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Json<List<LoggedRequest>>, Problem> {
    let page = Page::parse("api_logs", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = api_logs::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |entry| entry.id)))
}
