//! The audit log: rows are added and read, never changed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Scope, StoreError, SystemTx, TenantTx};
use crate::domain::{
    audit::{Actor, Entry},
    ids::{ApiKeyId, AuditId, OperatorKeyId, TenantId, UserId},
};

/// Adds an entry, to be committed with the change it tells of.
pub async fn record(connection: &mut PgConnection, entry: &Entry<'_>) -> Result<(), StoreError> {
    let (kind, actor) = match entry.actor {
        Actor::Operator(key) => ("operator", key.map(OperatorKeyId::uuid)),
        Actor::Key(key) => ("key", Some(key.uuid())),
        Actor::User(user) => ("user", Some(user.uuid())),
    };
    sqlx::query!(
        "insert into audit_log (id, tenant_id, actor_kind, actor_id, action, target, before, after, request_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        AuditId::generate().uuid(),
        entry.tenant.map(TenantId::uuid),
        kind,
        actor,
        entry.action.as_str(),
        entry.target,
        entry.before,
        entry.after,
        entry.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An entry as it was written.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub id: AuditId,
    pub actor: Actor,
    pub action: String,
    pub target: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub request_id: String,
    pub created_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    actor_kind: String,
    actor_id: Option<Uuid>,
    action: String,
    target: String,
    before: Option<Value>,
    after: Option<Value>,
    request_id: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Recorded {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let actor = match (row.actor_kind.as_str(), row.actor_id) {
            ("operator", key) => Actor::Operator(key.map(OperatorKeyId::from_uuid)),
            ("key", Some(key)) => Actor::Key(ApiKeyId::from_uuid(key)),
            ("user", Some(user)) => Actor::User(UserId::from_uuid(user)),
            _ => return Err(StoreError::Unreadable { column: "audit_log.actor_kind", value: row.actor_kind }),
        };
        Ok(Self {
            id: AuditId::from_uuid(row.id),
            actor,
            action: row.action,
            target: row.target,
            before: row.before,
            after: row.after,
            request_id: row.request_id,
            created_at: row.created_at,
        })
    }
}

/// A tenant's entries, newest first, after a position.
pub async fn list(tx: &mut TenantTx, after: Option<AuditId>, limit: i64) -> Result<Vec<Recorded>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, actor_kind, actor_id, action, target, before, after, request_id, created_at
         from audit_log where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant,
        after.map(AuditId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Recorded::try_from).collect()
}

/// Entries that belong to the operator alone, newest first, after a position.
pub async fn list_operators(
    tx: &mut SystemTx,
    after: Option<AuditId>,
    limit: i64,
) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select id, actor_kind, actor_id, action, target, before, after, request_id, created_at
         from audit_log where tenant_id is null and ($1::uuid is null or id < $1) order by id desc limit $2",
        after.map(AuditId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Recorded::try_from).collect()
}
