//! Logging in.
//!
//! A wrong password and an account that does not exist get the same answer, after the same work. Attempts are slowed down
//! per account and per address; a browser that logged in to the account before is counted by itself, so that strangers who
//! guess cannot keep its person out.

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::AppendHeaders,
};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        account::{Backoff, Email, MAX_PASSWORD},
        audit::{Action, Actor},
        ids::{SessionId, TenantId},
    },
    store::{
        Scope, StoreError, SystemTx, audit,
        login_attempts::{self, Subject},
        sessions::{self, NewSession},
        tenants, users,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    credentials,
    extract::{ClientAddress, Json, csrf},
    identity::Author,
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Characters kept of what a browser calls itself.
const MAX_USER_AGENT: usize = 200;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    #[schema(value_type = String, example = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    tenant_id: TenantId,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(example = "correct horse battery staple")]
    password: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LoggedIn {
    #[schema(value_type = String, example = "ses_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    session_id: SessionId,
    /// Goes with every changing request, as `X-CSRF-Token`.
    #[schema(example = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")]
    csrf_token: String,
    /// However much the session is used; two hours without use end it before.
    expires_at: DateTime<Utc>,
}

/// Logs a person in: the answer sets an HttpOnly cookie that opens what the person's role allows.
#[utoipa::path(
    post, path = "/v1/session", tag = "access", operation_id = "log_in",
    security(()),
    request_body = LogIn,
    responses(
        (status = 201, description = "Logged in.", body = LoggedIn,
            headers(("Set-Cookie" = String, description = "The session, and what the browser is known by next time."))),
        (status = 401, description = "The email or the password is wrong, or the account cannot log in.",
            body = Document, content_type = "application/problem+json"),
        (status = 403, description = "The tenant is disabled, or the request comes from a page of another origin.",
            body = Document, content_type = "application/problem+json"),
        (status = 415, description = "The body's content type is not JSON.", body = Document,
            content_type = "application/problem+json"),
        (status = 422, description = "A field is not acceptable.", body = Document,
            content_type = "application/problem+json"),
        (status = 429, description = "Too many attempts failed; `Retry-After` says when the next is heard.",
            body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn log_in(
    State(state): State<AppState>,
    request_id: RequestId,
    address: ClientAddress,
    headers: HeaderMap,
    Json(LogIn { tenant_id, email, password }): Json<LogIn>,
) -> Result<(StatusCode, AppendHeaders<[(HeaderName, HeaderValue); 2]>, Body<LoggedIn>), Problem> {
    csrf::known_origin(&headers, &state.origins)?;
    let mut fields = Fields::default();
    let email = fields.keep("email", Email::parse(&email));
    fields.text("password", &password, 1..=MAX_PASSWORD);
    fields.finish()?;
    let email = email.expect("an email that was refused ended the request");

    let wrong = || Problem::new(Kind::BadCredentials);
    let device = state.cookies.device(&headers).map(str::to_owned);
    let mut tx = state.read(tenant_id).await?;
    let account = users::account(&mut tx, email.as_str()).await?;
    let known = match &device {
        Some(device) => sessions::knows_device(&mut tx, email.as_str(), &credentials::hash(device)).await?,
        None => false,
    };
    tx.commit().await?;
    let device = device.filter(|_| known);
    let attempt = Attempt::of(tenant_id, &email, device.as_deref(), address);
    attempt.begin(&state).await?;

    let password_hash = account.as_ref().map(|account| account.password_hash.clone());
    let right = state.passwords.verify(password, password_hash).await?;
    let account = account.filter(|_| right).ok_or_else(wrong)?;

    let (id, token) = (SessionId::generate(), credentials::secret(""));
    let device = device.unwrap_or_else(|| credentials::secret(""));
    let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let user_agent: Option<String> = user_agent.map(|text| text.chars().take(MAX_USER_AGENT).collect());
    let session = NewSession {
        id,
        user: account.user,
        token_hash: credentials::hash(&token),
        device_hash: credentials::hash(&device),
        user_agent: user_agent.as_deref(),
    };
    let mut tx = state.read(tenant_id).await?;
    if !tenants::current(&mut tx).await?.enabled {
        return Err(Problem::new(Kind::TenantDisabled));
    }
    let expires_at = sessions::start(&mut tx, &session, &account.password_hash).await?.ok_or_else(wrong)?;
    let author = Author { actor: Actor::User(account.user), request: request_id };
    let after = json!({ "user_agent": user_agent });
    audit::record(tx.connection(), &author.made(Some(tenant_id), Action::SessionStarted, id, after)).await?;
    tx.commit().await?;
    if let Err(error) = attempt.succeeded(&state).await {
        tracing::warn!(%error, "attempts that a log-in ended are still counted");
    }
    let cookies = [state.cookies.keep_session(&token), state.cookies.keep_device(&device)];
    let cookies = AppendHeaders(cookies.map(|cookie| (header::SET_COOKIE, cookie)));
    Ok((StatusCode::CREATED, cookies, Body(LoggedIn { session_id: id, csrf_token: csrf::token(&token), expires_at })))
}

/// One attempt, and whose account it is put on.
enum Attempt {
    /// By a browser that logged in to the account before.
    Known {
        device: [u8; 32],
    },
    Stranger {
        account: [u8; 32],
        address: [u8; 32],
    },
}

impl Attempt {
    fn of(tenant: TenantId, email: &Email, device: Option<&str>, address: ClientAddress) -> Self {
        let (tenant, email) = (tenant.to_string(), email.as_str());
        match device {
            Some(device) => Self::Known { device: credentials::hash_of(&["device", &tenant, email, device]) },
            None => Self::Stranger {
                account: credentials::hash_of(&["account", &tenant, email]),
                address: credentials::hash_of(&["address", &address.network().to_string()]),
            },
        }
    }

    /// Counts it; refused while one of its subjects has to wait.
    async fn begin(&self, state: &AppState) -> Result<(), Problem> {
        // Always the account first: two attempts never wait for each other.
        let subjects = match *self {
            Self::Known { device } => vec![(device, Backoff::DEVICE)],
            Self::Stranger { account, address } => vec![(account, Backoff::ACCOUNT), (address, Backoff::ADDRESS)],
        };
        let mut tx = SystemTx::begin(&state.database, None).await?;
        for (hash, backoff) in subjects {
            if let Some(wait) = login_attempts::begin(&mut tx, Subject { hash, backoff }).await? {
                return Err(Problem::new(Kind::TooManyAttempts).retry_after(wait));
            }
        }
        Ok(tx.commit().await?)
    }

    /// Takes back that it failed: of an address this attempt only, for it may have tried others' accounts.
    async fn succeeded(&self, state: &AppState) -> Result<(), StoreError> {
        let mut tx = SystemTx::begin(&state.database, None).await?;
        match self {
            Self::Known { device } => login_attempts::forget(&mut tx, device).await?,
            Self::Stranger { account, address } => {
                login_attempts::forget(&mut tx, account).await?;
                login_attempts::take_back(&mut tx, address).await?;
            }
        }
        tx.commit().await
    }
}
