//! A new key in place of another, which goes on working for a while.

use std::time::Duration;

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{audit::Action, ids::ApiKeyId},
    store::{Scope, api_keys, audit},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{Created, insert};
use crate::{
    extract::{Caller, Json, KeyHeader, Keyed, PathId, Traceparent, scope::Admin},
    once::Answer,
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// How long the old key works beside the new one: unless said otherwise, and at most.
const DEFAULT_OVERLAP: u32 = 24 * 3600;
const MAX_OVERLAP: u32 = 7 * 24 * 3600;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
pub struct Rotation {
    /// Seconds that the old key goes on working, 0 to 604800; a day by default.
    #[schema(example = 3600, maximum = 604800)]
    overlap_seconds: Option<u32>,
    /// When the new key expires. Absent: it lives as long as the old one was meant to.
    #[schema(example = json!(null))]
    expires_at: Option<DateTime<Utc>>,
}

impl Rotation {
    /// Checks the request; returns the overlap.
    pub fn check(&self) -> Result<Duration, Problem> {
        let mut fields = Fields::default();
        let overlap = self.overlap_seconds.unwrap_or(DEFAULT_OVERLAP);
        if overlap > MAX_OVERLAP {
            fields.refuse("overlap_seconds", format!("must be 0 to {MAX_OVERLAP}"));
        }
        fields.future("expires_at", self.expires_at);
        fields.finish()?;
        Ok(Duration::from_secs(overlap.into()))
    }

    /// When the new key expires, by the times of the old one.
    pub fn expires_at(&self, made: DateTime<Utc>, old: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        self.expires_at.or_else(|| old.map(|old| Utc::now() + (old - made)))
    }
}

/// Refuses to rotate a key that does not work any more, or was rotated already.
pub fn must_work(
    revoked: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    replaced: bool,
) -> Result<(), Problem> {
    match revoked.is_some() || replaced || expires.is_some_and(|at| at <= Utc::now()) {
        true => Err(Problem::new(Kind::KeyEnded)),
        false => Ok(()),
    }
}

/// Makes a key with the same name and scopes in place of another, which goes on working for `overlap_seconds`.
#[utoipa::path(
    post, path = "/v1/api-keys/{id}/rotate", tag = "access", operation_id = "rotate_api_key",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "key_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new key. Its secret is shown this once.", body = Created),
        (status = 409, description = "The key was revoked, has expired or was rotated already; or there are 100 keys.",
            body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn rotate(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<ApiKeyId>,
    trace: Traceparent,
    Keyed { once, body: Json(rotation) }: Keyed<Json<Rotation>>,
) -> Result<Answer, Problem> {
    let overlap = rotation.check()?;
    let author = caller.author(request_id);
    let work = state.work(&caller, &trace).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            let tx = work.tx();
            let old = api_keys::lock(tx, id).await?.ok_or_else(|| Problem::not_found("key"))?;
            must_work(old.revoked_at, old.expires_at, old.replaced_by.is_some())?;
            if let Some(lacking) = caller.scopes().lacks_of(old.scopes) {
                return Err(Problem::scope(lacking));
            }
            let expires_at = rotation.expires_at(old.created_at, old.expires_at);
            let created = insert(tx, &old.name, old.scopes, expires_at).await?;
            api_keys::replace(tx, id, created.record.id, overlap).await?;
            let after = json!({
                "replaced_by": created.record.id, "overlap_seconds": overlap.as_secs(), "new_expires_at": expires_at,
            });
            let entry = author.made(Some(tx.tenant()), Action::ApiKeyRotated, id, after);
            audit::record(tx.connection(), &entry).await?;
            Answer::secret(StatusCode::CREATED, &created)
        })
        .await
}
