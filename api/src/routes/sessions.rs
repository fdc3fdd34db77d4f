//! Log-ins of the caller: what they are, and their end.

pub mod log_in;
pub mod password;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        access::Scopes,
        audit::Action,
        ids::{SessionId, TenantId},
    },
    store::{Scope, audit, sessions, users},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::users::User;
use crate::{
    extract::{Member, PathId, Query, csrf},
    openapi::schemas,
    page::{List, Page},
    problem::Problem,
    request_id::RequestId,
    state::AppState,
};

/// The person who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhoAmI {
    user: User,
    #[schema(value_type = String, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    tenant_id: TenantId,
    /// What the role allows.
    #[schema(schema_with = schemas::scopes)]
    scopes: Scopes,
    #[schema(value_type = String, example = "ses_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    session_id: SessionId,
    /// Goes with every changing request, as `X-CSRF-Token`.
    #[schema(example = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
    csrf_token: String,
}

/// Tells who is logged in, and the token that changing requests need.
#[utoipa::path(
    get, path = "/v1/session", tag = "access", operation_id = "who_am_i",
    security(("console_session" = [])),
    responses((status = 200, description = "The person.", body = WhoAmI))
)]
pub async fn read(
    member: Member,
    State(state): State<AppState>,
    headers: axum::http::HeaderMap,
) -> Result<Body<WhoAmI>, Problem> {
    let mut tx = state.read(member.id).await?;
    let user = users::find(&mut tx, member.user).await?.ok_or_else(|| Problem::not_found("user"))?;
    tx.commit().await?;
    let token = state.cookies.session(&headers).unwrap_or_default();
    Ok(Body(WhoAmI {
        user: user.into(),
        tenant_id: member.id,
        scopes: member.scopes,
        session_id: member.session,
        csrf_token: csrf::token(token),
    }))
}

/// Logs out: the session's cookie opens nothing from now on.
#[utoipa::path(
    delete, path = "/v1/session", tag = "access", operation_id = "log_out",
    security(("console_session" = [])),
    responses((status = 204, description = "Logged out."))
)]
pub async fn log_out(
    member: Member,
    State(state): State<AppState>,
    request_id: RequestId,
) -> Result<(StatusCode, [(HeaderName, HeaderValue); 1]), Problem> {
    end_one(&member, &state, request_id, member.session).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, state.cookies.forget_session())]))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    #[schema(value_type = String, example = "ses_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: SessionId,
    /// What the browser called itself when it logged in.
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    /// To the minute.
    last_used_at: DateTime<Utc>,
    /// However much it is used; two hours without use end it before.
    expires_at: DateTime<Utc>,
}

impl From<sessions::Session> for Session {
    fn from(stored: sessions::Session) -> Self {
        let sessions::Session { id, user_agent, created_at, last_used_at, expires_at } = stored;
        Self { id, user_agent, created_at, last_used_at, expires_at }
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

/// Lists the caller's sessions that have not ended, newest first.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "access", operation_id = "list_sessions",
    security(("console_session" = [])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Session>))
)]
pub async fn list(
    member: Member,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Session>>, Problem> {
    let page = Page::parse("sessions", limit, cursor.as_deref())?;
    let mut tx = state.read(member.id).await?;
    let rows = sessions::list(&mut tx, member.user, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |session| session.id)))
}

/// Ends one of the caller's sessions.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "access", operation_id = "end_session",
    security(("console_session" = [])),
    params(("id" = String, Path, example = "ses_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Ended."))
)]
pub async fn end(
    member: Member,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<SessionId>,
) -> Result<StatusCode, Problem> {
    match end_one(&member, &state, request_id, id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("session")),
    }
}

async fn end_one(member: &Member, state: &AppState, request_id: RequestId, id: SessionId) -> Result<bool, Problem> {
    let mut tx = state.read(member.id).await?;
    if !sessions::end(&mut tx, member.user, id).await? {
        return Ok(false);
    }
    let author = member.author(request_id);
    audit::record(tx.connection(), &author.told(Some(member.id), Action::SessionEnded, id)).await?;
    tx.commit().await?;
    Ok(true)
}
