//! What the operator does with tenants that exist.

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        audit::Action,
        erasure::{Requester, Subject},
        ids::TenantId,
        plan::{LimitOverrides, Plan, Share},
        settings::Settings,
    },
    kinds::erase,
    queue::Work,
    store::{
        Scope, SystemTx, audit, erasures,
        tenants::{self, Managed},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::check;
use crate::{
    extract::{Admin, Json, KeyHeader, Keyed, PathId, Query, Traceparent},
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::{Document, Fields, Problem},
    request_id::RequestId,
    routes::{api_keys, erasures::Erasing, users},
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
pub struct Tenant {
    #[schema(value_type = String, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: TenantId,
    #[schema(example = "Nordlys Outdoor")]
    name: String,
    #[schema(schema_with = schemas::plan)]
    plan: Plan,
    /// Single limits that replace the plan's.
    #[schema(schema_with = schemas::limits)]
    limits: LimitOverrides,
    #[schema(schema_with = schemas::settings)]
    settings: Settings,
    enabled: bool,
    created_at: DateTime<Utc>,
}

impl From<Managed> for Tenant {
    fn from(stored: Managed) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            plan: stored.plan,
            limits: stored.limits,
            settings: stored.settings,
            enabled: stored.enabled,
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

/// Lists tenants, newest first.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", operation_id = "list_tenants",
    security(("admin_key" = [])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Tenant>))
)]
pub async fn list(
    _: Admin,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Tenant>>, Problem> {
    let page = Page::parse("tenants", limit, cursor.as_deref())?;
    let mut tx = SystemTx::begin(&state.database, None).await?;
    let rows = tenants::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |tenant| tenant.id)))
}

/// Reads a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "read_tenant",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The tenant.", body = Tenant))
)]
pub async fn read(
    _: Admin,
    State(state): State<AppState>,
    PathId(id): PathId<TenantId>,
) -> Result<Body<Tenant>, Problem> {
    let mut tx = state.read(id).await?;
    let tenant = tenants::find(&mut tx).await?;
    tx.commit().await?;
    tenant.map(|tenant| Body(tenant.into())).ok_or_else(|| Problem::not_found("tenant"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange)]
pub struct Change {
    /// 1 to 200 characters.
    #[schema(example = "Nordlys Outdoor", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: Option<String>,
    #[schema(schema_with = schemas::plan)]
    plan: Option<Plan>,
    /// All limits that replace the plan's.
    #[schema(schema_with = schemas::limits)]
    limits: Option<LimitOverrides>,
    /// All settings; what is absent in them gets its default.
    #[schema(schema_with = schemas::settings)]
    settings: Option<Settings>,
    /// A disabled tenant's keys and sessions open nothing.
    #[schema(example = true)]
    enabled: Option<bool>,
}

/// Changes what is given of a tenant. Requests go by it within a second.
#[utoipa::path(
    patch, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "update_tenant",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    request_body = Change,
    responses((status = 200, description = "The tenant as it is now.", body = Tenant))
)]
pub async fn update(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<TenantId>,
    Json(change): Json<Change>,
) -> Result<Body<Tenant>, Problem> {
    let Change { name, plan, limits, settings, enabled } = change;
    let mut fields = Fields::default();
    if let Some(name) = &name {
        check::name(&mut fields, name);
    }
    if let Some(limits) = limits {
        check::limits(&mut fields, limits);
    }
    if let Some(settings) = &settings {
        check::settings(&mut fields, settings);
    }
    fields.finish()?;
    let mut tx = state.read(id).await?;
    let before = tenants::lock(&mut tx).await?.ok_or_else(|| Problem::not_found("tenant"))?;
    let after = Managed {
        name: name.unwrap_or_else(|| before.name.clone()),
        plan: plan.unwrap_or(before.plan),
        limits: limits.unwrap_or(before.limits),
        settings: settings.unwrap_or_else(|| before.settings.clone()),
        enabled: enabled.unwrap_or(before.enabled),
        ..before
    };
    tenants::update(&mut tx, &after).await?;
    let (before, after) = (Tenant::from(before), Tenant::from(after));
    let author = admin.author(request_id);
    if let Some(entry) = author.changed(Some(id), Action::TenantUpdated, id, (&before, &after)) {
        audit::record(tx.connection(), &entry).await?;
    }
    tx.commit().await?;
    Ok(Body(after))
}

/// Erases a tenant with all that it owns. Its keys open nothing from now on; the receipt stays.
#[utoipa::path(
    delete, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "delete_tenant",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 202, description = "Being erased.", body = Erasing))
)]
pub async fn delete(
    admin: Admin,
    State(state): State<AppState>,
    trace: Traceparent,
    request_id: RequestId,
    PathId(id): PathId<TenantId>,
) -> Result<(StatusCode, Body<Erasing>), Problem> {
    let (database, dispatcher, trace) = (&state.database, &state.dispatcher, Some(trace.to_string()));
    let mut work = Work::<SystemTx>::begin(database, dispatcher, None, Share::PLATFORM, trace).await?;
    if !erasures::tenant::close(work.tx(), id).await? {
        return Err(Problem::not_found("tenant"));
    }
    let erasure = erase::request(&mut work, id, &Subject::Tenant(id), Requester::Operator, request_id.as_str()).await?;
    // The operator's own entry: the tenant's go with it.
    let author = admin.author(request_id);
    audit::record(work.tx().connection(), &author.told(None, Action::TenantErased, id)).await?;
    work.commit().await?;
    state.keys.forget();
    Ok((StatusCode::ACCEPTED, Body(Erasing::of(erasure))))
}

/// Makes a key for a tenant.
#[utoipa::path(
    post, path = "/v1/tenants/{id}/api-keys", tag = "tenants", operation_id = "create_tenant_api_key",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    request_body = api_keys::Request,
    responses(
        (status = 201, description = "The key. Its secret is shown this once.", body = api_keys::Created),
        (status = 409, description = "There are 100 keys that work already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn create_api_key(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<TenantId>,
    Keyed { once, body: Json(request) }: Keyed<Json<api_keys::Request>>,
) -> Result<Answer, Problem> {
    api_keys::check(&request)?;
    let author = admin.author(request_id);
    let work = state.operators_work(Some(id)).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            tenants::lock(work.tx()).await?.ok_or_else(|| Problem::not_found("tenant"))?;
            Answer::secret(StatusCode::CREATED, &api_keys::make(work.tx(), &request, &author).await?)
        })
        .await
}

/// Invites a person to a tenant's team: its first owner, or another when none can log in any more.
#[utoipa::path(
    post, path = "/v1/tenants/{id}/users", tag = "tenants", operation_id = "invite_tenant_user",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    request_body = users::Request,
    responses(
        (status = 201, description = "The user and the token to join with, shown this once.", body = users::Invited),
        (status = 402, description = "The plan's team is complete.", body = Document,
            content_type = "application/problem+json"),
        (status = 409, description = "The tenant has a user with this email.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn invite_user(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<TenantId>,
    Keyed { once, body: Json(request) }: Keyed<Json<users::Request>>,
) -> Result<Answer, Problem> {
    let new = request.check()?;
    let author = admin.author(request_id);
    let work = state.operators_work(Some(id)).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            Answer::secret(StatusCode::CREATED, &users::add(work.tx(), &new, &author).await?)
        })
        .await
}
