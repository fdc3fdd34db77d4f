//! Receipts of what was erased.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::ErasureId,
    store::{
        Scope, SystemTx,
        erasures::{self, Receipt},
    },
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    extract::{Admin, Caller, PathId, scope},
    problem::Problem,
    state::AppState,
};

/// An erasure that was asked for; asked again while it runs, it is the same one.
#[derive(Debug, Serialize, ToSchema)]
pub struct Erasing {
    #[schema(value_type = String, example = "era_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    erasure_id: ErasureId,
    #[schema(example = "running")]
    status: &'static str,
    links: Links,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasureLinks)]
pub struct Links {
    #[schema(example = "/v1/erasures/era_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    receipt: String,
}

impl Erasing {
    pub fn of(id: ErasureId) -> Self {
        Self { erasure_id: id, status: "running", links: Links { receipt: format!("/v1/erasures/{id}") } }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Erasure {
    #[schema(value_type = String, example = "era_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ErasureId,
    /// `document`, `contact` or `tenant`.
    #[schema(example = "contact")]
    scope: String,
    /// The id of what is erased. A contact's is replaced by its SHA-256 when the erasure has finished.
    #[schema(example = "sha256:4a44dc15364204a80fe80e9039455cc1608281820fe2b24f1e5233ade6af1dd5")]
    subject: String,
    /// `running`, `finished` or `failed`; one that failed goes on when the operator replays its job.
    #[schema(example = "finished")]
    status: String,
    /// `tenant` or `operator`, by the request of `request_id`.
    #[schema(example = "tenant")]
    requested_by: String,
    #[schema(example = "req_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    request_id: String,
    requested_at: DateTime<Utc>,
    /// Null until it has finished.
    finished_at: Option<DateTime<Utc>>,
    /// Rows removed so far, by table, and `vectors`.
    #[schema(value_type = Object, example = json!({ "conversations": 1, "messages": 4, "events": 7 }))]
    removed: Value,
    /// What was looked for afterwards and how much of it was found: nothing. Null until it has finished.
    #[schema(value_type = Option<Object>, example = json!({ "rows": { "conversations": 0, "messages": 0, "events": 0 } }))]
    proof: Option<Value>,
}

impl From<Receipt> for Erasure {
    fn from(stored: Receipt) -> Self {
        Self {
            id: stored.id,
            scope: stored.scope,
            subject: stored.subject,
            status: stored.status,
            requested_by: stored.requested_by,
            request_id: stored.request_id,
            requested_at: stored.requested_at,
            finished_at: stored.finished_at,
            removed: stored.removed,
            proof: stored.proof,
        }
    }
}

/// Reads the receipt of an erasure: a tenant its own, the operator every one, so too that of a tenant that is gone.
#[utoipa::path(
    get, path = "/v1/erasures/{id}", tag = "data", operation_id = "read_erasure",
    security(("tenant_key" = ["read"]), ("admin_key" = [])),
    params(("id" = String, Path, example = "era_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The receipt, or what there is of it.", body = Erasure))
)]
pub async fn read(
    operator: Result<Admin, Problem>,
    caller: Result<Caller<scope::Read>, Problem>,
    State(state): State<AppState>,
    PathId(id): PathId<ErasureId>,
) -> Result<Json<Erasure>, Problem> {
    let found = match operator {
        Ok(_) => {
            let mut tx = SystemTx::begin(&state.database, None).await?;
            let found = erasures::find(tx.connection(), id).await?;
            tx.commit().await?;
            found
        }
        Err(_) => {
            let mut tx = state.read(caller?.id).await?;
            let found = erasures::find(tx.connection(), id).await?;
            tx.commit().await?;
            found
        }
    };
    found.map(|receipt| Json(receipt.into())).ok_or_else(|| Problem::not_found("erasure"))
}
