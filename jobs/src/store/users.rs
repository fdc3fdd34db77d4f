//! People of a tenant's team.
//!
//! Changes of the team run one after the other: each takes [`super::tenants::lock`] first, so that the number of seats is
//! exact and two of them cannot each leave the other's owner as the last one.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx};
use crate::domain::{
    access::Role,
    ids::{TenantId, UserId},
};

/// A token that sets a user's password, once.
#[derive(Debug, Clone, Copy)]
pub struct Invitation {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    pub id: UserId,
    pub email: &'a str,
    pub name: &'a str,
    pub role: Role,
    pub invitation: Invitation,
}

pub async fn insert(tx: &mut TenantTx, user: &NewUser<'_>) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into users (id, tenant_id, email, name, role, invitation_hash, invitation_expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        user.id.uuid(),
        tenant,
        user.email,
        user.name,
        user.role.as_str(),
        &user.invitation.hash[..],
        user.invitation.expires_at,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How many people the team has, those that are disabled or have not joined yet included.
pub async fn count(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from users where tenant_id = $1"#, tenant)
        .fetch_one(tx.connection())
        .await?)
}

/// Whether the team has an owner who can log in, other than this one.
pub async fn has_other_owner(tx: &mut TenantTx, but: UserId) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select exists (
             select from users where tenant_id = $1 and id <> $2 and role = 'owner' and enabled and password_hash is not null
           ) as "exists!""#,
        tenant,
        but.uuid(),
    )
    .fetch_one(tx.connection())
    .await?)
}

/// A user without secrets.
#[derive(Debug, Clone)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub enabled: bool,
    /// Whether a password was set.
    pub joined: bool,
    pub created_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    email: String,
    name: String,
    role: String,
    enabled: bool,
    joined: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            email: row.email,
            name: row.name,
            role: role(&row.role)?,
            enabled: row.enabled,
            joined: row.joined,
            created_at: row.created_at,
        })
    }
}

pub(super) fn role(name: &str) -> Result<Role, StoreError> {
    Role::parse(name).ok_or_else(|| StoreError::Unreadable { column: "users.role", value: name.to_owned() })
}

/// A user; `None` when the tenant has no such user.
pub async fn find(tx: &mut TenantTx, id: UserId) -> Result<Option<User>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        r#"select id, email, name, role, enabled, password_hash is not null as "joined!", created_at
           from users where tenant_id = $1 and id = $2"#,
        tenant,
        id.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(User::try_from).transpose()
}

/// Users, newest first, after a position.
pub async fn list(tx: &mut TenantTx, after: Option<UserId>, limit: i64) -> Result<Vec<User>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, email, name, role, enabled, password_hash is not null as "joined!", created_at
           from users where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        tenant,
        after.map(UserId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(User::try_from).collect()
}

/// Sets what others may change of a user.
pub async fn update(tx: &mut TenantTx, user: &User) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update users set name = $3, role = $4, enabled = $5 where tenant_id = $1 and id = $2",
        tenant,
        user.id.uuid(),
        user.name,
        user.role.as_str(),
        user.enabled,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes a user with all sessions.
pub async fn delete(tx: &mut TenantTx, id: UserId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!("delete from users where tenant_id = $1 and id = $2", tenant, id.uuid())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives a user a new invitation; one from before is void.
pub async fn invite(tx: &mut TenantTx, id: UserId, invitation: Invitation) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "update users set invitation_hash = $3, invitation_expires_at = $4 where tenant_id = $1 and id = $2",
        tenant,
        id.uuid(),
        &invitation.hash[..],
        invitation.expires_at,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whom an invitation is for; `None` for one that is unknown, used, expired or of a disabled user.
pub async fn invited(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<Option<(TenantId, UserId, String)>, StoreError> {
    let row = sqlx::query!(
        "select tenant_id, id, email from users
         where invitation_hash = $1 and invitation_expires_at > now() and enabled",
        &hash[..]
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| (TenantId::from_uuid(row.tenant_id), UserId::from_uuid(row.id), row.email)))
}

/// Sets the password of whom an invitation is for, and uses it up; returns false when it is void by now.
pub async fn join(tx: &mut TenantTx, id: UserId, hash: &[u8; 32], password_hash: &str) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let joined = sqlx::query!(
        "update users set password_hash = $4, password_changed_at = now(), invitation_hash = null,
           invitation_expires_at = null
         where tenant_id = $1 and id = $2 and invitation_hash = $3 and invitation_expires_at > now() and enabled",
        tenant,
        id.uuid(),
        &hash[..],
        password_hash,
    )
    .execute(tx.connection())
    .await?;
    Ok(joined.rows_affected() == 1)
}

/// A user as a log-in needs it.
#[derive(Debug, Clone)]
pub struct Account {
    pub user: UserId,
    pub email: String,
    /// A PHC string.
    pub password_hash: String,
}

/// The account with this email; `None` for one that cannot log in.
pub async fn account(tx: &mut TenantTx, email: &str) -> Result<Option<Account>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        r#"select id, email, password_hash as "password_hash!" from users
           where tenant_id = $1 and email = $2 and enabled and password_hash is not null"#,
        tenant,
        email,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(|row| Account { user: UserId::from_uuid(row.id), email: row.email, password_hash: row.password_hash }))
}

/// Replaces a password, unless another change came first; returns whether it did.
pub async fn change_password(tx: &mut TenantTx, account: &Account, password_hash: &str) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let changed = sqlx::query!(
        "update users set password_hash = $4, password_changed_at = now()
         where tenant_id = $1 and id = $2 and password_hash = $3",
        tenant,
        account.user.uuid(),
        account.password_hash,
        password_hash,
    )
    .execute(tx.connection())
    .await?;
    Ok(changed.rows_affected() == 1)
}
