//! Documents, how far they have come, and which version searches may return.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, document_versions::Described};
use crate::domain::{
    document::Status,
    ids::{DocumentId, TenantId},
};

/// Documents that count against the plan.
pub async fn count(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from documents where tenant_id = $1 and status <> 'deleting'"#,
        tenant
    )
    .fetch_one(tx.connection())
    .await?)
}

/// The newest version of a document as the embedding job needs it.
#[derive(Debug, Clone)]
pub struct ToEmbed {
    pub described: Described,
    pub status: Status,
    pub version: i32,
    /// What searches return meanwhile.
    pub ready_version: Option<i32>,
    /// Passages that are stored already, of how many; no total before the version was read.
    pub done: usize,
    pub total: Option<usize>,
    /// The embedding model they were stored under.
    pub model: Option<String>,
}

/// `None` when there is no such document, or it is being removed.
pub async fn find(tx: &mut TenantTx, id: DocumentId) -> Result<Option<ToEmbed>, StoreError> {
    let row = sqlx::query!(
        "select v.name, v.content_type, v.tags, v.language, d.status, d.version, d.ready_version, d.chunks_done,
           d.chunks_total, d.chunks_model
         from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.version
         where d.id = $1 and d.status <> 'deleting'",
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        Ok(ToEmbed {
            described: Described {
                name: row.name,
                content_type: row.content_type,
                tags: row.tags,
                language: row.language,
            },
            status: status(row.status)?,
            version: row.version,
            ready_version: row.ready_version,
            done: usize::try_from(row.chunks_done).unwrap_or_default(),
            total: row.chunks_total.and_then(|total| usize::try_from(total).ok()),
            model: row.chunks_model,
        })
    })
    .transpose()
}

/// Has failed versions tried again; those that are not failed are left as they are.
pub async fn mark_pending(
    connection: &mut PgConnection,
    versions: &[(TenantId, DocumentId, i32)],
) -> Result<(), StoreError> {
    let tenants: Vec<_> = versions.iter().map(|(tenant, ..)| tenant.uuid()).collect();
    let documents: Vec<_> = versions.iter().map(|(_, document, _)| document.uuid()).collect();
    let numbers: Vec<_> = versions.iter().map(|(.., version)| *version).collect();
    sqlx::query!(
        "update documents d set status = 'pending', reason = null, updated_at = now()
         from unnest($1::uuid[], $2::uuid[], $3::integer[]) as failed(tenant_id, id, version)
         where d.tenant_id = failed.tenant_id and d.id = failed.id and d.version = failed.version
           and d.status = 'failed'",
        &tenants,
        &documents,
        &numbers,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) fn status(text: String) -> Result<Status, StoreError> {
    Status::parse(&text).ok_or(StoreError::Unreadable { column: "documents.status", value: text })
}

/// Has a document that failed, or is stale, read anew, and leaves any other as it is; returns its state and version, `None`
/// when the tenant has none of this id.
pub async fn retry(tx: &mut TenantTx, id: DocumentId) -> Result<Option<(Status, i32)>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        "select status, version from documents
         where tenant_id = $1 and id = $2 and status <> 'deleting' for no key update",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let status = status(row.status)?;
    if !matches!(status, Status::Failed | Status::Stale) {
        return Ok(Some((status, row.version)));
    }
    sqlx::query!(
        "update documents set status = 'pending', reason = null, chunks_done = 0, chunks_total = null, updated_at = now()
         where id = $1",
        id.uuid()
    )
    .execute(tx.connection())
    .await?;
    Ok(Some((Status::Pending, row.version)))
}

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    pub chunks_done: i32,
    pub chunks_total: i32,
    /// Where the format has pages.
    pub pages_done: Option<i32>,
    pub pages_total: Option<i32>,
}

/// Notes how far a version has come with a model, unless it was overtaken or is being removed.
pub async fn progress(
    tx: &mut TenantTx,
    id: DocumentId,
    version: i32,
    model: &str,
    progress: Progress,
) -> Result<(), StoreError> {
    sqlx::query!(
        "update documents set chunks_done = $3, chunks_total = $4, pages_done = $5, pages_total = $6, chunks_model = $7,
           updated_at = now()
         where id = $1 and version = $2 and status <> 'deleting'",
        id.uuid(),
        version,
        progress.chunks_done,
        progress.chunks_total,
        progress.pages_done,
        progress.pages_total,
        model,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

pub async fn mark_processing(tx: &mut TenantTx, id: DocumentId) -> Result<(), StoreError> {
    sqlx::query!(
        "update documents set status = 'processing', updated_at = now() where id = $1 and status = 'pending'",
        id.uuid()
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes a version, whole in a model's table, the one that searches return; returns false when the document is being removed or
/// has a newer version.
pub async fn mark_ready(
    tx: &mut TenantTx,
    id: DocumentId,
    version: i32,
    model: &str,
    chunks: i32,
) -> Result<bool, StoreError> {
    let switched = sqlx::query!(
        "with held as (
           update document_versions set models = models || jsonb_build_object($3::text, $4::integer)
           where document_id = $1 and version = $2)
         update documents set status = 'ready', reason = null, ready_version = $2, chunk_count = $4, updated_at = now()
         where id = $1 and version = $2 and status <> 'deleting'",
        id.uuid(),
        version,
        model,
        chunks,
    )
    .execute(tx.connection())
    .await?;
    Ok(switched.rows_affected() == 1)
}

/// Marks a version as failed; an older version that was ready stays searchable.
pub async fn mark_failed(tx: &mut TenantTx, id: DocumentId, version: i32, reason: &str) -> Result<bool, StoreError> {
    let failed = sqlx::query!(
        "update documents set status = 'failed', reason = $3, updated_at = now()
         where id = $1 and version = $2 and status <> 'deleting'",
        id.uuid(),
        version,
        reason,
    )
    .execute(tx.connection())
    .await?;
    Ok(failed.rows_affected() == 1)
}

/// Hides a document from searches at once; the job that follows erases it. The removal is a version of its own, so that
/// jobs of the others end. Returns false when the tenant has no such document.
pub async fn mark_deleting(tx: &mut TenantTx, id: DocumentId) -> Result<bool, StoreError> {
    let hidden = sqlx::query!(
        "update documents set status = 'deleting', ready_version = null, updated_at = now(),
           version = case when status = 'deleting' then version else last_version + 1 end,
           last_version = case when status = 'deleting' then last_version else last_version + 1 end
         where id = $1",
        id.uuid()
    )
    .execute(tx.connection())
    .await?;
    Ok(hidden.rows_affected() == 1)
}

/// What searches return of a document.
#[derive(Debug, Clone)]
pub struct Searchable {
    pub name: String,
    pub version: i32,
    /// Passages, at the positions from 0 on.
    pub chunks: u32,
}

/// Those of the documents that searches return.
pub async fn searchable(tx: &mut TenantTx, ids: &[DocumentId]) -> Result<HashMap<DocumentId, Searchable>, StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select d.id, v.name, v.version, d.chunk_count from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version
         where d.id = any($1)",
        &ids
    )
    .fetch_all(tx.connection())
    .await?;
    let searchable = rows.into_iter().map(|row| {
        let shown = Searchable { name: row.name, version: row.version, chunks: row.chunk_count.unsigned_abs() };
        (DocumentId::from_uuid(row.id), shown)
    });
    Ok(searchable.collect())
}

/// A document as its owner sees it.
#[derive(Debug, Clone)]
pub struct Document {
    pub id: DocumentId,
    pub name: String,
    pub content_type: String,
    pub tags: Vec<String>,
    pub language: Option<String>,
    pub status: String,
    pub reason: Option<String>,
    pub version: i32,
    /// What searches return.
    pub ready_version: Option<i32>,
    pub size_bytes: i64,
    pub chunk_count: i32,
    /// `None` before the version was read.
    pub progress: Option<Progress>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    name: String,
    content_type: String,
    tags: Vec<String>,
    language: Option<String>,
    status: String,
    reason: Option<String>,
    version: i32,
    ready_version: Option<i32>,
    size_bytes: i64,
    chunk_count: i32,
    chunks_done: i32,
    chunks_total: Option<i32>,
    pages_done: Option<i32>,
    pages_total: Option<i32>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Row> for Document {
    fn from(row: Row) -> Self {
        Self {
            id: DocumentId::from_uuid(row.id),
            name: row.name,
            content_type: row.content_type,
            tags: row.tags,
            language: row.language,
            status: row.status,
            reason: row.reason,
            version: row.version,
            ready_version: row.ready_version,
            size_bytes: row.size_bytes,
            chunk_count: row.chunk_count,
            progress: row.chunks_total.map(|chunks_total| Progress {
                chunks_done: row.chunks_done,
                chunks_total,
                pages_done: row.pages_done,
                pages_total: row.pages_total,
            }),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A document; `None` when the tenant has none of this id or it is being removed.
pub async fn show(tx: &mut TenantTx, id: DocumentId) -> Result<Option<Document>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select d.id, v.name, v.content_type, v.tags, v.language, d.status, d.reason, d.version, d.ready_version, v.size_bytes,
           d.chunk_count, d.chunks_done, d.chunks_total, d.pages_done, d.pages_total, d.created_at, d.updated_at
         from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.version
         where d.tenant_id = $1 and d.id = $2 and d.status <> 'deleting'",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Document::from))
}

/// Documents, newest first, after a position; those being removed are left out.
pub async fn list(
    tx: &mut TenantTx,
    status: Option<Status>,
    after: Option<DocumentId>,
    limit: i64,
) -> Result<Vec<Document>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select d.id, v.name, v.content_type, v.tags, v.language, d.status, d.reason, d.version, d.ready_version, v.size_bytes,
           d.chunk_count, d.chunks_done, d.chunks_total, d.pages_done, d.pages_total, d.created_at, d.updated_at
         from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.version
         where d.tenant_id = $1 and d.status <> 'deleting' and ($2::text is null or d.status = $2)
           and ($3::uuid is null or d.id < $3)
         order by d.id desc limit $4",
        tenant,
        status.map(Status::as_str),
        after.map(DocumentId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Document::from).collect())
}
