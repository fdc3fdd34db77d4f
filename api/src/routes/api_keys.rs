//! A tenant's keys, managed by whoever has the scope `admin`.

pub mod rotation;

pub use rotation::{Rotation, must_work};

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        access::Scopes,
        audit::Action,
        ids::{ApiKeyId, TenantId},
    },
    store::{
        Scope, TenantTx,
        api_keys::{self, ApiKey, NewApiKey},
        audit,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::{
    credentials,
    extract::{Caller, Json, KeyHeader, Keyed, PathId, Query, Traceparent, scope::Admin},
    identity::Author,
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Longest name, in characters.
pub const MAX_NAME: usize = 200;
/// Most keys of a tenant that work at once.
const MAX_KEYS: i64 = 100;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub struct Request {
    /// 1 to 200 characters.
    #[schema(example = "shop backend", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: String,
    /// What the key may do; `admin` implies all others.
    #[schema(schema_with = schemas::scopes)]
    scopes: Scopes,
    /// Absent: the key works until it is revoked.
    #[schema(example = json!(null))]
    expires_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct Key {
    #[schema(value_type = String, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ApiKeyId,
    #[schema(example = "shop backend")]
    name: String,
    #[schema(schema_with = schemas::scopes)]
    scopes: Scopes,
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
    replaced_by: Option<ApiKeyId>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub struct Created {
    #[serde(flatten)]
    record: Key,
    /// Shown once.
    #[schema(example = "mk_live_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    key: String,
}

impl From<ApiKey> for Key {
    fn from(stored: ApiKey) -> Self {
        Self {
            id: stored.id,
            name: stored.name,
            scopes: stored.scopes,
            last_four: stored.last_four,
            created_at: stored.created_at,
            expires_at: stored.expires_at,
            last_used_at: stored.last_used_at,
            revoked_at: stored.revoked_at,
            replaced_by: stored.replaced_by,
        }
    }
}

/// Makes a key, with no more scopes than the caller has itself.
#[utoipa::path(
    post, path = "/v1/api-keys", tag = "access", operation_id = "create_api_key",
    security(("tenant_key" = ["admin"])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 201, description = "The key. Its secret is shown this once.", body = Created),
        (status = 409, description = "There are 100 keys that work already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn create(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    trace: Traceparent,
    Keyed { once, body: Json(request) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    check(&request)?;
    if let Some(lacking) = caller.scopes().lacks_of(request.scopes) {
        return Err(Problem::scope(lacking));
    }
    let author = caller.author(request_id);
    let work = state.work(&caller, &trace).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            Answer::secret(StatusCode::CREATED, &make(work.tx(), &request, &author).await?)
        })
        .await
}

/// Adds a key to the transaction's tenant.
pub async fn make(tx: &mut TenantTx, request: &Request, author: &Author) -> Result<Created, Problem> {
    let Request { name, scopes, expires_at } = request;
    let created = insert(tx, name, *scopes, *expires_at).await?;
    let after = json!({ "name": name, "scopes": scopes, "expires_at": expires_at });
    let entry = author.made(Some(tx.tenant()), Action::ApiKeyCreated, created.record.id, after);
    audit::record(tx.connection(), &entry).await?;
    Ok(created)
}

pub fn check(request: &Request) -> Result<(), Problem> {
    let mut fields = Fields::default();
    fields.not_blank("name", &request.name, MAX_NAME);
    if request.scopes.is_empty() {
        fields.refuse("scopes", "is empty");
    }
    fields.future("expires_at", request.expires_at);
    fields.finish()
}

/// A tenant's first key, which may do everything.
pub struct First {
    pub id: ApiKeyId,
    pub key: String,
}

/// Adds a new tenant's first key.
pub async fn first<S: Scope>(tx: &mut S, tenant: TenantId) -> Result<First, Problem> {
    let first = First { id: ApiKeyId::generate(), key: credentials::secret(credentials::TENANT_PREFIX) };
    let new = NewApiKey {
        id: first.id,
        tenant,
        name: "default",
        hash: credentials::hash(&first.key),
        last_four: credentials::last_four(&first.key),
        scopes: Scopes::ADMIN,
        expires_at: None,
    };
    api_keys::insert(tx.connection(), &new, MAX_KEYS).await?;
    Ok(first)
}

async fn insert(
    tx: &mut TenantTx,
    name: &str,
    scopes: Scopes,
    expires_at: Option<DateTime<Utc>>,
) -> Result<Created, Problem> {
    let (id, key) = (ApiKeyId::generate(), credentials::secret(credentials::TENANT_PREFIX));
    let (hash, last_four) = (credentials::hash(&key), credentials::last_four(&key));
    let new = NewApiKey { id, tenant: tx.tenant(), name, hash, last_four, scopes, expires_at };
    if !api_keys::insert(tx.connection(), &new, MAX_KEYS).await? {
        return Err(Problem::new(Kind::LimitReached).with("limit", MAX_KEYS));
    }
    let stored = api_keys::find(tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
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

/// Lists the tenant's keys, newest first, those that ended too, without their secrets.
#[utoipa::path(
    get, path = "/v1/api-keys", tag = "access", operation_id = "list_api_keys",
    security(("tenant_key" = ["admin"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Key>))
)]
pub async fn list(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Key>>, Problem> {
    let page = Page::parse("api-keys", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = api_keys::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |key| key.id)))
}

/// Reads a key, without its secret.
#[utoipa::path(
    get, path = "/v1/api-keys/{id}", tag = "access", operation_id = "read_api_key",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The key.", body = Key))
)]
pub async fn read(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    PathId(id): PathId<ApiKeyId>,
) -> Result<Body<Key>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let key = api_keys::find(&mut tx, id).await?;
    tx.commit().await?;
    key.map(|key| Body(key.into())).ok_or_else(|| Problem::not_found("key"))
}

/// Revokes a key. It is refused within a second, by every replica. One that was revoked before stays as it is.
#[utoipa::path(
    delete, path = "/v1/api-keys/{id}", tag = "access", operation_id = "revoke_api_key",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Revoked."))
)]
pub async fn revoke(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.read(caller.id).await?;
    let key = api_keys::lock(&mut tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
    if key.revoked_at.is_none() {
        api_keys::revoke(&mut tx, id).await?;
        let author = caller.author(request_id);
        let before = json!({ "name": key.name, "scopes": key.scopes, "expires_at": key.expires_at });
        let entry = author.ended(Some(caller.id), Action::ApiKeyRevoked, id, before);
        audit::record(tx.connection(), &entry).await?;
        tx.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}
