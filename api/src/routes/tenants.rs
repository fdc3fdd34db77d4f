//! Tenants, made and managed by the operator.

pub mod manage;
pub mod model_key;
pub mod own;

mod check;

use axum::{extract::State, http::StatusCode};
use jobs::{
    domain::{
        audit::Action,
        ids::{ApiKeyId, TenantId},
        plan::{LimitOverrides, Plan},
        settings::Settings,
    },
    store::{Scope, SystemTx, audit, tenants},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::api_keys;
use crate::{
    credentials,
    extract::{Admin, Json, KeyHeader, Keyed},
    once::Answer,
    openapi::schemas,
    problem::{Fields, Problem},
    request_id::RequestId,
    state::AppState,
};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 200 characters.
    #[schema(example = "Nordlys Outdoor", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: String,
    #[serde(default)]
    #[schema(schema_with = schemas::plan)]
    plan: Plan,
    /// Replaces single limits of the plan.
    #[serde(default)]
    #[schema(schema_with = schemas::limits)]
    limits: LimitOverrides,
    #[serde(default)]
    #[schema(schema_with = schemas::settings)]
    settings: Settings,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedTenant)]
pub struct Created {
    #[schema(value_type = String, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: TenantId,
    name: String,
    #[schema(schema_with = schemas::plan)]
    plan: Plan,
    api_key: Key,
    /// Signs deliveries to a message's `callback_url`, by Standard Webhooks. Shown once.
    #[schema(example = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazfsDEW7OCI=")]
    callback_secret: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantKey)]
pub struct Key {
    #[schema(value_type = String, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ApiKeyId,
    /// Shown once.
    #[schema(example = "mk_live_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    key: String,
}

/// Creates a tenant with its first key, which has the scope `admin`.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "tenants", operation_id = "create_tenant",
    security(("admin_key" = [])),
    params(KeyHeader),
    request_body = NewTenant,
    responses((status = 201, description = "The tenant, its key and its signing secret.", body = Created))
)]
pub async fn create(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    Keyed { once, body: Json(request) }: Keyed<Json<NewTenant>>,
) -> Result<Answer, Problem> {
    let mut fields = Fields::default();
    check::name(&mut fields, &request.name);
    check::limits(&mut fields, request.limits);
    check::settings(&mut fields, &request.settings);
    fields.finish()?;
    let NewTenant { name, plan, limits, settings } = request;
    let callback_secret = credentials::signing_secret();
    let tenant = tenants::NewTenant { id: TenantId::generate(), name, plan, limits, settings, callback_secret };
    let author = admin.author(request_id);
    let work = state.operators_work::<SystemTx>(None).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            let tx = work.tx();
            tenants::insert(tx, &state.vault, &tenant).await?;
            let api_keys::First { id, key } = api_keys::first(tx, tenant.id).await?;
            let after = json!({
                "name": tenant.name, "plan": plan, "limits": limits, "settings": tenant.settings, "api_key": id,
            });
            let entry = author.made(Some(tenant.id), Action::TenantCreated, tenant.id, after);
            audit::record(tx.connection(), &entry).await?;
            let created = Created {
                id: tenant.id,
                api_key: Key { id, key },
                name: tenant.name,
                plan,
                callback_secret: tenant.callback_secret.expose_secret().to_owned(),
            };
            Answer::secret(StatusCode::CREATED, &created)
        })
        .await
}
