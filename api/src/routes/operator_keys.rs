//! The operator's own keys, beside the one in the environment.

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{audit::Action, ids::OperatorKeyId},
    store::{
        Scope, SystemTx, audit,
        operator_keys::{self, NewOperatorKey, OperatorKey},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::api_keys::{MAX_NAME, Rotation, must_work};
use crate::{
    credentials,
    extract::{Admin, Json, KeyHeader, Keyed, PathId, Query},
    once::Answer,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Most keys that work at once.
const MAX_KEYS: i64 = 100;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOperatorKey)]
pub struct Request {
    /// 1 to 200 characters.
    #[schema(example = "on call", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: String,
    /// Absent: the key works until it is revoked.
    #[schema(example = json!(null))]
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorKey)]
pub struct Key {
    #[schema(value_type = String, example = "opk_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: OperatorKeyId,
    #[schema(example = "on call")]
    name: String,
    /// The end of the key, to tell it from others.
    #[schema(example = "0a08")]
    last_four: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// To the minute.
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// The key that a rotation made in its place.
    #[schema(value_type = Option<String>, example = json!(null))]
    replaced_by: Option<OperatorKeyId>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedOperatorKey)]
pub struct Created {
    #[serde(flatten)]
    record: Key,
    /// Shown once.
    #[schema(example = "mk_admin_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    key: String,
}

impl From<OperatorKey> for Key {
    fn from(stored: OperatorKey) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            last_four: stored.last_four,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            last_used_at: stored.last_used_at,
            revoked_at: stored.revoked_at,
            replaced_by: stored.replaced_by,
        }
    }
}

/// Makes a key for the operator. Every one of them may do all that the operator may.
#[utoipa::path(
    post, path = "/v1/operator-keys", tag = "operator", operation_id = "create_operator_key",
    security(("admin_key" = [])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 201, description = "The key. Its secret is shown this once.", body = Created),
        (status = 409, description = "There are 100 keys that work already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn create(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    Keyed { once, body: Json(Request { name, expires_at }) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    let mut fields = Fields::default();
    fields.not_blank("name", &name, MAX_NAME);
    fields.future("expires_at", expires_at);
    fields.finish()?;
    let author = admin.author(request_id);
    let work = state.operators_work::<SystemTx>(None).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            let created = insert(work.tx(), &name, expires_at).await?;
            let after = json!({ "name": name, "expires_at": expires_at });
            let entry = author.made(None, Action::OperatorKeyCreated, created.record.id, after);
            audit::record(work.tx().connection(), &entry).await?;
            Answer::secret(StatusCode::CREATED, &created)
        })
        .await
}

async fn insert(tx: &mut SystemTx, name: &str, expires_at: Option<DateTime<Utc>>) -> Result<Created, Problem> {
    let (id, key) = (OperatorKeyId::generate(), credentials::secret(credentials::OPERATOR_PREFIX));
    let (hash, last_four) = (credentials::hash(&key), credentials::last_four(&key));
    let new = NewOperatorKey { id, name, hash, last_four, expires_at };
    if !operator_keys::insert(tx, &new, MAX_KEYS).await? {
        return Err(Problem::new(Kind::LimitReached).with("limit", MAX_KEYS));
    }
    let stored = operator_keys::lock(tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
    Ok(Created { record: stored.into(), key })
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Lists the operator's keys, newest first, those that ended too, without their secrets. The environment's is not among
/// them.
#[utoipa::path(
    get, path = "/v1/operator-keys", tag = "operator", operation_id = "list_operator_keys",
    security(("admin_key" = [])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Key>))
)]
pub async fn list(
    _: Admin,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Key>>, Problem> {
    let page = Page::parse("operator-keys", limit, cursor.as_deref())?;
    let mut tx = SystemTx::begin(&state.database, None).await?;
    let rows = operator_keys::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |key| key.id)))
}

/// Makes a key in place of another, which goes on working for `overlap_seconds`.
#[utoipa::path(
    post, path = "/v1/operator-keys/{id}/rotate", tag = "operator", operation_id = "rotate_operator_key",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "opk_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new key. Its secret is shown this once.", body = Created),
        (status = 409, description = "The key was revoked, has expired or was rotated already; or there are 100 keys.",
            body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn rotate(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<OperatorKeyId>,
    Keyed { once, body: Json(rotation) }: Keyed<Json<Rotation>>,
) -> Result<Answer, Problem> {
    let overlap = rotation.check()?;
    let author = admin.author(request_id);
    let work = state.operators_work::<SystemTx>(None).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            let tx = work.tx();
            let old = operator_keys::lock(tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
            must_work(old.revoked_at, old.expires_at, old.replaced_by.is_some())?;
            let expires_at = rotation.expires_at(old.created_at, old.expires_at);
            let created = insert(tx, &old.name, expires_at).await?;
            operator_keys::replace(tx, id, created.record.id, overlap).await?;
            let after = json!({
                "replaced_by": created.record.id, "overlap_seconds": overlap.as_secs(), "new_expires_at": expires_at,
            });
            audit::record(tx.connection(), &author.made(None, Action::OperatorKeyRotated, id, after)).await?;
            Answer::secret(StatusCode::CREATED, &created)
        })
        .await
}

/// Revokes a key. It is refused within a second, by every replica. One that was revoked before stays as it is.
#[utoipa::path(
    delete, path = "/v1/operator-keys/{id}", tag = "operator", operation_id = "revoke_operator_key",
    security(("admin_key" = [])),
    params(("id" = String, Path, example = "opk_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Revoked."))
)]
pub async fn revoke(
    admin: Admin,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<OperatorKeyId>,
) -> Result<StatusCode, Problem> {
    let mut tx = SystemTx::begin(&state.database, None).await?;
    let key = operator_keys::lock(&mut tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
    if key.revoked_at.is_none() {
        operator_keys::revoke(&mut tx, id).await?;
        let author = admin.author(request_id);
        let before = json!({ "name": key.name, "expires_at": key.expires_at });
        audit::record(tx.connection(), &author.ended(None, Action::OperatorKeyRevoked, id, before)).await?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
