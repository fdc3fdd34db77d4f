//! Invitations: a token that sets a password, once. A new one resets a password that was lost.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        access::Role,
        account,
        audit::{Action, Actor},
        ids::UserId,
    },
    store::{
        Scope, SystemTx, audit, sessions, tenants,
        users::{self, Invitation},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{INVITATION_LIFE, find, must_be_owner};
use crate::{
    credentials,
    extract::{Caller, Json, KeyHeader, Keyed, NoBody, PathId, Traceparent, csrf, scope::Admin},
    identity::Author,
    once::Answer,
    problem::{Document, Fields, Problem},
    request_id::RequestId,
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
pub struct Token {
    /// Shown once.
    #[schema(example = "mk_invite_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub token: String,
    pub expires_at: DateTime<Utc>,
}

/// Makes a new token for a user, who lost the password or let the last token expire; one from before is void. What the
/// user has goes on working until the token is used. For an owner it takes the session of an owner.
#[utoipa::path(
    post, path = "/v1/users/{id}/invitation", tag = "access", operation_id = "renew_invitation",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), KeyHeader),
    responses((status = 201, description = "The token, shown this once.", body = Token))
)]
pub async fn renew(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<UserId>,
    trace: Traceparent,
    Keyed { once, .. }: Keyed<NoBody>,
) -> Result<Answer, Problem> {
    let author = caller.author(request_id);
    let work = state.work(&caller, &trace).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            let tx = work.tx();
            tenants::lock(tx).await?;
            let user = find(tx, id).await?;
            if user.role == Role::Owner {
                must_be_owner(tx, caller.credential()).await?;
            }
            let token = credentials::secret(credentials::INVITATION_PREFIX);
            let expires_at = Utc::now() + INVITATION_LIFE;
            users::invite(tx, id, Invitation { hash: credentials::hash(&token), expires_at }).await?;
            let entry = author.told(Some(tx.tenant()), Action::UserInvited, id);
            audit::record(tx.connection(), &entry).await?;
            Answer::secret(StatusCode::CREATED, &Token { token, expires_at })
        })
        .await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    #[schema(example = "mk_invite_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    token: String,
    /// 12 to 128 characters, without the email.
    #[schema(example = "correct horse battery staple")]
    password: String,
}

/// Accepts an invitation: sets the password and ends all sessions of the user, who can log in from now on.
#[utoipa::path(
    post, path = "/v1/invitations/accept", tag = "access", operation_id = "accept_invitation",
    security(()),
    request_body = Acceptance,
    responses(
        (status = 204, description = "The password is set."),
        (status = 403, description = "The request comes from a page of another origin.", body = Document,
            content_type = "application/problem+json"),
        (status = 404, description = "The token is unknown, was used or has expired.", body = Document,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's content type is not JSON.", body = Document,
            content_type = "application/problem+json"),
        (status = 422, description = "The password is not acceptable.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn accept(
    State(state): State<AppState>,
    request_id: RequestId,
    headers: HeaderMap,
    Json(Acceptance { token, password }): Json<Acceptance>,
) -> Result<StatusCode, Problem> {
    csrf::known_origin(&headers, &state.origins)?;
    let void = || Problem::not_found("invitation");
    let hash = credentials::hash(&token);
    let mut tx = SystemTx::begin(&state.database, None).await?;
    let invited = users::invited(&mut tx, &hash).await?;
    tx.commit().await?;
    let (tenant, user, email) = invited.ok_or_else(void)?;
    let mut fields = Fields::default();
    fields.keep("password", account::check_password(&password, &email));
    fields.finish()?;
    let password_hash = state.passwords.hash(password).await?;
    let mut tx = state.read(tenant).await?;
    if !users::join(&mut tx, user, &hash, &password_hash).await? {
        return Err(void());
    }
    sessions::end_all(&mut tx, user).await?;
    let author = Author { actor: Actor::User(user), request: request_id };
    audit::record(tx.connection(), &author.told(Some(tenant), Action::UserJoined, user)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
