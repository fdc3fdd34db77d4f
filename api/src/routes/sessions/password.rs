//! Changing one's own password.

use axum::{
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use jobs::{
    domain::{
        account::{self, Backoff, MAX_PASSWORD},
        audit::Action,
    },
    store::{
        Scope, SystemTx, audit,
        login_attempts::{self, Subject},
        sessions, users,
    },
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    credentials,
    extract::{Json, Member},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    #[schema(example = "correct horse battery staple")]
    current_password: String,
    /// 12 to 128 characters, without the email.
    #[schema(example = "wrong mule battery staple")]
    new_password: String,
}

/// Changes the caller's password and ends all of their sessions, this one too.
#[utoipa::path(
    post, path = "/v1/session/password", tag = "access", operation_id = "change_password",
    security(("console_session" = [])),
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed. Log in again."),
        (status = 401, description = "The current password is wrong.", body = Document,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts failed; `Retry-After` says when the next is heard.",
            body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    member: Member,
    State(state): State<AppState>,
    request_id: RequestId,
    Json(PasswordChange { current_password, new_password }): Json<PasswordChange>,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1]), Problem> {
    let wrong = || Problem::new(Kind::BadCredentials);
    let mut tx = state.read(member.id).await?;
    let user = users::find(&mut tx, member.user).await?.ok_or_else(wrong)?;
    let account = users::account(&mut tx, &user.email).await?.ok_or_else(wrong)?;
    tx.commit().await?;
    let mut fields = Fields::default();
    fields.text("current_password", &current_password, 1..=MAX_PASSWORD);
    fields.keep("new_password", account::check_password(&new_password, &account.email));
    fields.finish()?;

    // Whoever found an open session must not find the password by it.
    let hash = credentials::hash_of(&["password", &member.user.to_string()]);
    let mut tx = SystemTx::begin(&state.database, None).await?;
    if let Some(wait) = login_attempts::begin(&mut tx, Subject { hash, backoff: Backoff::DEVICE }).await? {
        return Err(Problem::new(Kind::TooManyAttempts).retry_after(wait));
    }
    tx.commit().await?;
    if !state.passwords.verify(current_password, Some(account.password_hash.clone())).await? {
        return Err(wrong());
    }
    let password_hash = state.passwords.hash(new_password).await?;
    let mut tx = state.read(member.id).await?;
    if !users::change_password(&mut tx, &account, &password_hash).await? {
        return Err(wrong());
    }
    sessions::end_all(&mut tx, member.user).await?;
    let author = member.author(request_id);
    audit::record(tx.connection(), &author.told(Some(member.id), Action::PasswordChanged, member.user)).await?;
    tx.commit().await?;
    let mut tx = SystemTx::begin(&state.database, None).await?;
    login_attempts::forget(&mut tx, &hash).await?;
    tx.commit().await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, state.cookies.forget_session())]))
}
