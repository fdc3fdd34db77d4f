//! Requests to erase and their receipts. What is erased is removed by the files below; each notes what it removed in the
//! transaction that removes it.

pub mod contact;
pub mod document;
pub mod tenant;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{
    erasure::{Extent, Proof, Requester, Rows, Subject},
    ids::{ErasureId, TenantId},
};

/// Asks for an erasure; returns the one that runs already for the same subject, where there is one.
pub async fn request(
    connection: &mut PgConnection,
    tenant: TenantId,
    subject: &Subject,
    requester: Requester,
    request_id: &str,
) -> Result<ErasureId, StoreError> {
    // The update changes nothing and returns the row that is there.
    let id = sqlx::query_scalar!(
        "insert into erasures as e (id, tenant_id, scope, subject, requested_by, request_id)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant_id, scope, subject) where finished_at is null do update set subject = e.subject
         returning id",
        ErasureId::generate().uuid(),
        tenant.uuid(),
        subject.extent().as_str(),
        subject.name(),
        requester.as_str(),
        request_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(ErasureId::from_uuid(id))
}

/// The erasure that runs for a subject.
pub async fn running(
    connection: &mut PgConnection,
    tenant: TenantId,
    subject: &Subject,
) -> Result<Option<ErasureId>, StoreError> {
    let id = sqlx::query_scalar!(
        "select id from erasures where tenant_id = $1 and scope = $2 and subject = $3 and finished_at is null",
        tenant.uuid(),
        subject.extent().as_str(),
        subject.name(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(id.map(ErasureId::from_uuid))
}

/// An erasure that has to be done.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub id: ErasureId,
    pub tenant: TenantId,
    pub subject: Subject,
    pub requested_at: DateTime<Utc>,
}

/// An erasure that is not finished, be it that it failed; `None` for one that is.
pub async fn unfinished(connection: &mut PgConnection, id: ErasureId) -> Result<Option<Unfinished>, StoreError> {
    let row = sqlx::query!(
        "select tenant_id, scope, subject, requested_at from erasures where id = $1 and finished_at is null",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let tenant = TenantId::from_uuid(row.tenant_id);
        let unreadable = |column, value| StoreError::Unreadable { column, value };
        let subject = match Extent::parse(&row.scope).ok_or_else(|| unreadable("erasures.scope", row.scope))? {
            Extent::Document => {
                Subject::Document(row.subject.parse().map_err(|_| unreadable("erasures.subject", row.subject.clone()))?)
            }
            Extent::Contact => Subject::Contact(row.subject),
            Extent::Tenant => Subject::Tenant(tenant),
        };
        Ok(Unfinished { id, tenant, subject, requested_at: row.requested_at })
    })
    .transpose()
}

/// Adds to what an erasure has removed.
pub async fn removed(connection: &mut PgConnection, id: ErasureId, rows: &Rows) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update erasures set removed = removed || (
           select jsonb_object_agg(name, coalesce((removed ->> name)::bigint, 0) + rows::bigint)
           from jsonb_each_text($2) as added (name, rows))
         where id = $1",
        id.uuid(),
        serde_json::to_value(rows)?,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds to the rows that were looked for after a part of the removal, none as a rule.
pub async fn found(connection: &mut PgConnection, id: ErasureId, rows: &Rows) -> Result<(), StoreError> {
    sqlx::query!(
        "update erasures set found = found || (
           select jsonb_object_agg(name, coalesce((found ->> name)::bigint, 0) + rows::bigint)
           from jsonb_each_text($2) as looked_for (name, rows))
         where id = $1",
        id.uuid(),
        serde_json::to_value(rows)?,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What [`found`] added up to.
pub async fn all_found(connection: &mut PgConnection, id: ErasureId) -> Result<Rows, StoreError> {
    let found =
        sqlx::query_scalar!("select found from erasures where id = $1", id.uuid()).fetch_one(connection).await?;
    Ok(serde_json::from_value(found)?)
}

/// Notes how many `things` (vectors, objects) are about to be removed from where no transaction reaches; a second run, which
/// finds fewer, changes nothing.
pub async fn removing(
    connection: &mut PgConnection,
    id: ErasureId,
    things: &str,
    count: u64,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update erasures set removed = removed ||
           jsonb_build_object($2::text, greatest((removed ->> $2::text)::bigint, $3))
         where id = $1",
        id.uuid(),
        things,
        count.cast_signed(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Finishes an erasure with its proof. A contact's id is replaced by its SHA-256.
pub async fn finish(connection: &mut PgConnection, id: ErasureId, proof: &Proof) -> Result<(), StoreError> {
    sqlx::query!(
        "update erasures set status = 'finished', proof = $2, finished_at = clock_timestamp(),
           subject = case scope when 'contact'
             then 'sha256:' || encode(sha256(convert_to(subject, 'UTF8')), 'hex') else subject end
         where id = $1 and finished_at is null",
        id.uuid(),
        serde_json::to_value(proof)?,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that an erasure stopped half-way; its job is among the dead ones, and goes on when it is replayed.
pub async fn fail(connection: &mut PgConnection, id: ErasureId) -> Result<(), StoreError> {
    sqlx::query!("update erasures set status = 'failed' where id = $1 and finished_at is null", id.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// A receipt, or what there is of it.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub id: ErasureId,
    pub tenant: TenantId,
    pub scope: String,
    pub subject: String,
    pub requested_by: String,
    pub request_id: String,
    pub status: String,
    pub removed: Value,
    pub proof: Option<Value>,
    pub requested_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

struct Row {
    id: Uuid,
    tenant_id: Uuid,
    scope: String,
    subject: String,
    requested_by: String,
    request_id: String,
    status: String,
    removed: Value,
    proof: Option<Value>,
    requested_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

/// A receipt; `None` when the transaction sees none of this id.
pub async fn find(connection: &mut PgConnection, id: ErasureId) -> Result<Option<Receipt>, StoreError> {
    let row = sqlx::query_as!(
        Row,
        "select id, tenant_id, scope, subject, requested_by, request_id, status, removed, proof, requested_at, finished_at
         from erasures where id = $1",
        id.uuid()
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Receipt {
        id: ErasureId::from_uuid(row.id),
        tenant: TenantId::from_uuid(row.tenant_id),
        scope: row.scope,
        subject: row.subject,
        requested_by: row.requested_by,
        request_id: row.request_id,
        status: row.status,
        removed: row.removed,
        proof: row.proof,
        requested_at: row.requested_at,
        finished_at: row.finished_at,
    }))
}
