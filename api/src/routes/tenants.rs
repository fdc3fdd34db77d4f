//! Tenants, made by the operator.

use axum::{Extension, Json as Body, extract::State, http::StatusCode};
use jobs::{
    domain::{
        erasure::{Requester, Subject},
        ids::{ApiKeyId, TenantId},
        plan::{LimitOverrides, Plan, Share},
        settings::Settings,
    },
    kinds::erase,
    queue::Work,
    store::{Scope, SystemTx, api_keys, erasures, tenants},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    credentials,
    extract::{Admin, Json, PathId, Traceparent},
    openapi::schemas,
    problem::{Fields, Problem},
    request_id::RequestId,
    routes::erasures::Erasing,
    state::AppState,
};

/// Longest of the settings' texts, in characters: a name, a tone, an instruction to the model.
const MAX_NAME: usize = 200;
const MAX_PROMPT: usize = 20_000;
/// Most words a tenant may add to those that make a question high-stakes.
const MAX_HIGH_STAKES: usize = 500;
/// Most tokens of a completion.
const MAX_TOKENS: u32 = 128_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 200 characters.
    #[schema(example = "Nordlys Outdoor")]
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

/// Creates a tenant with its first key.
#[utoipa::path(
    post, path = "/v1/tenants", tag = "tenants", operation_id = "create_tenant",
    security(("admin_key" = [])),
    request_body = NewTenant,
    responses((status = 201, description = "The tenant, its key and its signing secret.", body = Created))
)]
pub async fn create(
    _: Admin,
    State(state): State<AppState>,
    Json(request): Json<NewTenant>,
) -> Result<(StatusCode, Body<Created>), Problem> {
    check(&request)?;
    let NewTenant { name, plan, limits, settings } = request;
    let (key, callback_secret) = (credentials::tenant_key(), credentials::signing_secret());
    let tenant = tenants::NewTenant { id: TenantId::generate(), name, plan, limits, settings, callback_secret };
    let api_key = api_keys::NewApiKey {
        id: ApiKeyId::generate(),
        tenant: tenant.id,
        name: "default",
        hash: credentials::hash(&key),
        last_four: &key[key.len() - 4..],
    };
    let mut tx = SystemTx::begin(&state.database, None).await?;
    tenants::insert(&mut tx, &state.vault, &tenant).await?;
    api_keys::insert(&mut tx, &api_key).await?;
    tx.commit().await?;
    let created = Created {
        id: tenant.id,
        api_key: Key { id: api_key.id, key },
        name: tenant.name,
        plan,
        callback_secret: tenant.callback_secret.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, Body(created)))
}

/// Erases a tenant with all that it owns. Its keys open nothing from now on; the receipt stays.
#[utoipa::path(
    delete, path = "/v1/tenants/{id}", tag = "tenants", operation_id = "delete_tenant",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 202, description = "Being erased.", body = Erasing))
)]
pub async fn delete(
    _: Admin,
    State(state): State<AppState>,
    trace: Traceparent,
    Extension(request): Extension<RequestId>,
    PathId(id): PathId<TenantId>,
) -> Result<(StatusCode, Body<Erasing>), Problem> {
    let (database, dispatcher, trace) = (&state.database, &state.dispatcher, Some(trace.to_string()));
    let mut work = Work::<SystemTx>::begin(database, dispatcher, None, Share::PLATFORM, trace).await?;
    if !erasures::tenant::close(work.tx(), id).await? {
        return Err(Problem::not_found("tenant"));
    }
    let subject = Subject::Tenant(id);
    let erasure = erase::request(&mut work, id, &subject, Requester::Operator, &request.to_string()).await?;
    work.commit().await?;
    state.keys.forget();
    Ok((StatusCode::ACCEPTED, Body(Erasing::of(erasure))))
}

fn check(request: &NewTenant) -> Result<(), Problem> {
    let mut fields = Fields::default();
    fields.text("name", &request.name, 1..=MAX_NAME);
    if request.name.trim().is_empty() && !request.name.is_empty() {
        fields.refuse("name", "is blank");
    }
    if let Some(limit) = request.limits.negative() {
        fields.refuse(format!("limits.{limit}"), "must not be negative");
    }
    let Settings { brand, tone, prompt, model, confidence } = &request.settings;
    for (field, text, most) in [
        ("settings.brand", brand, MAX_NAME),
        ("settings.tone", tone, MAX_NAME),
        ("settings.prompt", prompt, MAX_PROMPT),
        ("settings.model.model", &model.model, MAX_NAME),
    ] {
        if let Some(text) = text {
            fields.text(field, text, 1..=most);
        }
    }
    if model.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
        fields.refuse("settings.model.temperature", "must be 0 to 2");
    }
    if model.max_tokens.is_some_and(|tokens| !(1..=MAX_TOKENS).contains(&tokens)) {
        fields.refuse("settings.model.max_tokens", format!("must be 1 to {MAX_TOKENS}"));
    }
    if confidence.high_stakes.len() > MAX_HIGH_STAKES {
        fields.refuse("settings.confidence.high_stakes", format!("has more than {MAX_HIGH_STAKES} words"));
    }
    for (at, word) in confidence.high_stakes.iter().enumerate() {
        fields.text(&format!("settings.confidence.high_stakes[{at}]"), word, 1..=MAX_NAME);
    }
    fields.finish()
}
