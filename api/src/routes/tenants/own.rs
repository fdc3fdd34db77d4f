//! The caller's own tenant.

use axum::{Json as Body, extract::State};
use jobs::{
    domain::{audit::Action, settings::Settings},
    store::{
        Scope, audit,
        tenants::{self, Managed},
    },
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{check, manage::Tenant};
use crate::{
    extract::{Caller, Json, scope::Admin},
    openapi::schemas,
    problem::{Fields, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Reads the caller's tenant.
#[utoipa::path(
    get, path = "/v1/tenant", tag = "tenants", operation_id = "read_own_tenant",
    security(("tenant_key" = ["admin"])),
    responses((status = 200, description = "The tenant.", body = Tenant))
)]
pub async fn read(caller: Caller<Admin>, State(state): State<AppState>) -> Result<Body<Tenant>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let tenant = tenants::find(&mut tx).await?;
    tx.commit().await?;
    tenant.map(|tenant| Body(tenant.into())).ok_or_else(|| Problem::not_found("tenant"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OwnTenantChange)]
pub struct Change {
    /// All settings; what is absent in them gets its default.
    #[schema(schema_with = schemas::settings)]
    settings: Settings,
}

/// Replaces the settings of the caller's tenant.
#[utoipa::path(
    patch, path = "/v1/tenant", tag = "tenants", operation_id = "update_own_tenant",
    security(("tenant_key" = ["admin"])),
    request_body = Change,
    responses((status = 200, description = "The tenant as it is now.", body = Tenant))
)]
pub async fn update(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    Json(Change { settings }): Json<Change>,
) -> Result<Body<Tenant>, Problem> {
    let mut fields = Fields::default();
    check::settings(&mut fields, &settings);
    fields.finish()?;
    let mut tx = state.read(caller.id).await?;
    let before = tenants::lock(&mut tx).await?.ok_or_else(|| Problem::not_found("tenant"))?;
    let after = Managed { settings, ..before.clone() };
    tenants::update(&mut tx, &after).await?;
    let (before, after) = (Tenant::from(before), Tenant::from(after));
    let author = caller.author(request_id);
    if let Some(entry) = author.changed(Some(caller.id), Action::TenantUpdated, caller.id, (&before, &after)) {
        audit::record(tx.connection(), &entry).await?;
    }
    tx.commit().await?;
    Ok(Body(after))
}
