//! What the plan allows and what is used of it.

use axum::{Json, extract::State};
use jobs::{
    domain::plan::Plan,
    store::{Scope, StoreError, documents, tenants::Tenant, usage},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    extract::{Caller, scope::Read},
    openapi::schemas,
    problem::Problem,
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlanUsage)]
pub struct Usage {
    #[schema(schema_with = schemas::plan)]
    plan: Plan,
    /// Accepted this calendar month (UTC).
    messages: Meter,
    /// Opened this calendar month (UTC).
    conversations: Meter,
    /// Held now.
    documents: Meter,
    /// Calls of the API this calendar month (UTC), but for this one. What other processes counted within the last second
    /// is missing.
    api_calls: Meter,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Meter {
    used: i64,
    limit: i64,
}

/// Reads what is used of the plan.
#[utoipa::path(
    get, path = "/v1/usage", tag = "billing", operation_id = "read_usage",
    security(("tenant_key" = ["read"])),
    responses((status = 200, description = "What is counted, against its limit.", body = Usage))
)]
pub async fn read(caller: Caller<Read>, State(state): State<AppState>) -> Result<Json<Usage>, Problem> {
    Ok(Json(of(&state, &caller).await?))
}

/// What a tenant has used.
pub async fn of(state: &AppState, caller: &Tenant) -> Result<Usage, StoreError> {
    let mut tx = state.read(caller.id).await?;
    let month = usage::this_month(&mut tx).await?;
    let calls = usage::api_calls(&mut tx).await? + state.limits.calls.pending(caller.id);
    let held = documents::count(&mut tx).await?;
    tx.commit().await?;
    Ok(Usage {
        plan: caller.plan,
        messages: Meter { used: month.messages, limit: caller.limits.messages },
        conversations: Meter { used: month.conversations, limit: caller.limits.conversations },
        documents: Meter { used: held, limit: caller.limits.documents },
        api_calls: Meter { used: calls, limit: caller.limits.api_calls },
    })
}
