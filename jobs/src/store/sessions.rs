//! Log-ins to the console.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx, tenants::Tenant, users};
use crate::domain::{
    access::Role,
    ids::{SessionId, TenantId, UserId},
};

/// A session that is not used for this long has ended; use is noted to the minute.
pub const IDLE: Duration = Duration::from_secs(2 * 3600);
/// The longest life of a session.
pub const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one user at once; a further one ends the oldest.
const MOST: i64 = 20;

#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    pub id: SessionId,
    pub user: UserId,
    /// SHA-256 of the token in the cookie.
    pub token_hash: [u8; 32],
    /// SHA-256 of the token that the device is known by.
    pub device_hash: [u8; 32],
    pub user_agent: Option<&'a str>,
}

/// Starts a session of a user whose password is still the one that was checked; returns its end, or `None` when it is
/// not, or the user cannot log in any more.
pub async fn start(
    tx: &mut TenantTx,
    session: &NewSession<'_>,
    password_hash: &str,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let tenant = tx.tenant().uuid();
    // The lock keeps a change of the password, which ends all sessions, from passing by this one.
    let current = sqlx::query!(
        "select id from users where tenant_id = $1 and id = $2 and password_hash = $3 and enabled for no key update",
        tenant,
        session.user.uuid(),
        password_hash,
    )
    .fetch_optional(tx.connection())
    .await?;
    if current.is_none() {
        return Ok(None);
    }
    let ends = sqlx::query_scalar!(
        "insert into sessions (id, tenant_id, user_id, token_hash, device_hash, user_agent, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7)) returning expires_at",
        session.id.uuid(),
        tenant,
        session.user.uuid(),
        &session.token_hash[..],
        &session.device_hash[..],
        session.user_agent,
        LIFE.as_secs_f64(),
    )
    .fetch_one(tx.connection())
    .await?;
    sqlx::query!(
        "update sessions set ended_at = now() where tenant_id = $1 and user_id = $2 and ended_at is null and id not in (
           select id from sessions where tenant_id = $1 and user_id = $2 and ended_at is null order by id desc limit $3)",
        tenant,
        session.user.uuid(),
        MOST,
    )
    .execute(tx.connection())
    .await?;
    Ok(Some(ends))
}

/// Whether the account was logged in to from a device before, within the last 30 days or so.
pub async fn knows_device(tx: &mut TenantTx, email: &str, device_hash: &[u8; 32]) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from sessions s join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
             where s.tenant_id = $1 and u.email = $2 and s.device_hash = $3) as "exists!""#,
        tenant,
        email,
        &device_hash[..],
    )
    .fetch_one(tx.connection())
    .await?)
}

/// A session that has not ended, with its user and tenant.
#[derive(Debug, Clone)]
pub struct Opened {
    pub session: SessionId,
    pub user: UserId,
    pub role: Role,
    pub tenant: Tenant,
    pub expires_at: DateTime<Utc>,
}

/// What a token opens; `None` for an unknown one, and when the session has ended or the user is disabled.
pub async fn open(tx: &mut SystemTx, token_hash: &[u8; 32]) -> Result<Option<Opened>, StoreError> {
    let row = sqlx::query!(
        "select s.id as session, s.expires_at, u.id as user, u.role,
           t.id, t.name, t.plan, t.limits, t.settings, t.enabled
         from sessions s
           join users u on u.tenant_id = s.tenant_id and u.id = s.user_id
           join tenants t on t.id = s.tenant_id
         where s.token_hash = $1 and s.ended_at is null and s.expires_at > now()
           and s.last_used_at > now() - make_interval(secs => $2) and u.enabled",
        &token_hash[..],
        IDLE.as_secs_f64(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let id = TenantId::from_uuid(row.id);
        let tenant = super::tenants::tenant(id, row.name, &row.plan, row.limits, row.settings, row.enabled)?;
        Ok(Opened {
            session: SessionId::from_uuid(row.session),
            user: UserId::from_uuid(row.user),
            role: users::role(&row.role)?,
            tenant,
            expires_at: row.expires_at,
        })
    })
    .transpose()
}

/// A session as its user sees it.
#[derive(Debug, Clone)]
pub struct Session {
    pub id: SessionId,
    pub user_agent: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    user_agent: Option<String>,
    created_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<Row> for Session {
    fn from(row: Row) -> Self {
        Self {
            id: SessionId::from_uuid(row.id),
            user_agent: row.user_agent,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
        }
    }
}

/// A user's sessions that have not ended, newest first, after a position.
pub async fn list(
    tx: &mut TenantTx,
    user: UserId,
    after: Option<SessionId>,
    limit: i64,
) -> Result<Vec<Session>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, user_agent, created_at, last_used_at, expires_at from sessions
         where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > now()
           and last_used_at > now() - make_interval(secs => $3) and ($4::uuid is null or id < $4)
         order by id desc limit $5",
        tenant,
        user.uuid(),
        IDLE.as_secs_f64(),
        after.map(SessionId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Session::from).collect())
}

/// Ends a session of a user; returns false when there is none that has not ended.
pub async fn end(tx: &mut TenantTx, user: UserId, id: SessionId) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let ended = sqlx::query!(
        "update sessions set ended_at = now() where tenant_id = $1 and user_id = $2 and id = $3 and ended_at is null",
        tenant,
        user.uuid(),
        id.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(ended.rows_affected() == 1)
}

/// Ends every session of a user.
pub async fn end_all(tx: &mut TenantTx, user: UserId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update sessions set ended_at = now() where tenant_id = $1 and user_id = $2 and ended_at is null",
        tenant,
        user.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
