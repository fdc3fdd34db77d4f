//! Who changed which credential, user or setting.

use axum::{Json as Body, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{audit::Actor, ids::AuditId},
    store::{
        Scope, SystemTx,
        audit::{self, Recorded},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Admin, Caller, Query, scope},
    openapi::schemas,
    page::{List, Page},
    problem::Problem,
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    #[schema(value_type = String, example = "aud_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: AuditId,
    actor: Who,
    #[schema(schema_with = schemas::audit_action)]
    action: String,
    /// The id of what was changed.
    #[schema(example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    target: String,
    /// What the changed members were, without secrets.
    #[schema(value_type = Option<Object>, example = json!(null))]
    before: Option<Value>,
    /// What they became.
    #[schema(value_type = Option<Object>, example = json!({ "name": "shop backend", "scopes": ["read"] }))]
    after: Option<Value>,
    #[schema(example = "req_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    request_id: String,
    created_at: DateTime<Utc>,
}

/// Who made a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditActor)]
pub struct Who {
    /// `key`, `user` or `operator`.
    #[schema(example = "user")]
    kind: &'static str,
    /// Null for the operator's key of the environment.
    #[schema(example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: Option<String>,
}

impl From<Actor> for Who {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Operator(key) => Self { kind: "operator", id: key.map(|key| key.to_string()) },
            Actor::Key(key) => Self { kind: "key", id: Some(key.to_string()) },
            Actor::User(user) => Self { kind: "user", id: Some(user.to_string()) },
        }
    }
}

impl From<Recorded> for Entry {
    fn from(recorded: Recorded) -> Self {
        Self {
            id: recorded.id,
            actor: recorded.actor.into(),
            action: recorded.action,
            target: recorded.target,
            before: recorded.before,
            after: recorded.after,
            request_id: recorded.request_id,
            created_at: recorded.created_at,
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

/// Lists changes of the tenant's credentials, users and settings, newest first.
#[utoipa::path(
    get, path = "/v1/audit-log", tag = "access", operation_id = "list_audit_log",
    security(("tenant_key" = ["admin"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Entry>))
)]
pub async fn list(
    caller: Caller<scope::Admin>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Entry>>, Problem> {
    let page = Page::parse("audit-log", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = audit::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |entry| entry.id)))
}

/// Lists changes of what belongs to no tenant, the operator's keys, newest first.
#[utoipa::path(
    get, path = "/v1/operator-audit-log", tag = "operator", operation_id = "list_operator_audit_log",
    security(("admin_key" = [])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Entry>))
)]
pub async fn list_operators(
    _: Admin,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Entry>>, Problem> {
    let page = Page::parse("operator-audit-log", limit, cursor.as_deref())?;
    let mut tx = SystemTx::begin(&state.database, None).await?;
    let rows = audit::list_operators(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |entry| entry.id)))
}
