//! The tenant's own key of the model provider: written, never read.

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::audit::Action,
    store::{Scope, audit, model_keys},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    extract::{Caller, Json, scope::Admin},
    problem::{Document, Fields, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Fewest characters of a key: of a shorter one, what is shown would give it away.
const MIN_CHARS: usize = 16;
/// Most characters of a key.
const MAX_CHARS: usize = 512;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewModelKey)]
pub struct New {
    /// 16 to 512 visible ASCII characters. It is stored encrypted and never shown again.
    #[schema(value_type = String, example = "sk-proj-0123456789abcdef", min_length = 16, max_length = 512, pattern = "^[!-~]+$")]
    key: SecretString,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ModelKey)]
pub struct Shown {
    #[schema(example = "cdef")]
    last_four: String,
    set_at: DateTime<Utc>,
}

impl From<model_keys::Shown> for Shown {
    fn from(model_keys::Shown { last_four, set_at }: model_keys::Shown) -> Self {
        Self { last_four, set_at }
    }
}

/// Tells whether the tenant has a key of its own.
#[utoipa::path(
    get, path = "/v1/tenant/model-key", tag = "tenants", operation_id = "read_model_key",
    security(("tenant_key" = ["admin"])),
    responses(
        (status = 200, description = "What is shown of it.", body = Shown),
        (status = 404, description = "The tenant has none.", body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn read(caller: Caller<Admin>, State(state): State<AppState>) -> Result<Body<Shown>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let shown = model_keys::find(&mut tx).await?;
    tx.commit().await?;
    shown.map(|shown| Body(shown.into())).ok_or_else(unset)
}

/// Sets the key that completions of this tenant are paid with, in place of the operator's. It is sent to the operator's
/// OpenAI-compatible endpoint and to nobody else.
#[utoipa::path(
    put, path = "/v1/tenant/model-key", tag = "tenants", operation_id = "set_model_key",
    security(("tenant_key" = ["admin"])),
    request_body = New,
    responses((status = 200, description = "What is shown of it.", body = Shown))
)]
pub async fn set(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    Json(New { key }): Json<New>,
) -> Result<Body<Shown>, Problem> {
    let plain = key.expose_secret();
    let mut fields = Fields::default();
    fields.text("key", plain, MIN_CHARS..=MAX_CHARS);
    if !plain.bytes().all(|byte| byte.is_ascii_graphic()) {
        fields.refuse("key", "has other than visible ASCII characters");
    }
    fields.finish()?;
    let mut tx = state.read(caller.id).await?;
    let shown = model_keys::set(&mut tx, &state.vault, &key, &plain[plain.len() - 4..]).await?;
    let author = caller.author(request_id);
    let after = json!({ "last_four": shown.last_four });
    audit::record(tx.connection(), &author.made(Some(caller.id), Action::ModelKeySet, caller.id, after)).await?;
    tx.commit().await?;
    Ok(Body(shown.into()))
}

/// Removes the key: completions are paid with the operator's again.
#[utoipa::path(
    delete, path = "/v1/tenant/model-key", tag = "tenants", operation_id = "remove_model_key",
    security(("tenant_key" = ["admin"])),
    responses(
        (status = 204, description = "Removed."),
        (status = 404, description = "The tenant has none.", body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
) -> Result<StatusCode, Problem> {
    let mut tx = state.read(caller.id).await?;
    let shown = model_keys::remove(&mut tx).await?.ok_or_else(unset)?;
    let author = caller.author(request_id);
    let before = json!({ "last_four": shown.last_four });
    audit::record(tx.connection(), &author.ended(Some(caller.id), Action::ModelKeyRemoved, caller.id, before)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unset() -> Problem {
    Problem::not_found("model key")
}
