//! What the search index should hold, across tenants: for its upkeep and its rebuilding.

use sqlx::PgConnection;

use super::{StoreError, embedding_models::Models};
use crate::domain::ids::{DocumentId, TenantId};

/// A tenant whose documents or whose models changed.
#[derive(Debug, Clone)]
pub struct Changed {
    pub tenant: TenantId,
    /// Chunks of its searchable versions: at least so many are in the table that searches read, unless something was lost.
    pub chunks: u64,
    pub models: Models,
    /// Whether its models are what they are for so long that no search reads an earlier one's table.
    pub settled: bool,
}

/// Tenants with a document that changed since a schedule last succeeded, or within ten minutes before, or with models that
/// changed within half an hour before that, after one of them; all tenants with documents when it never did.
pub async fn changed_tenants(
    connection: &mut PgConnection,
    schedule: &str,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<Changed>, StoreError> {
    let rows = sqlx::query!(
        r#"with since as (
             select coalesce(max(last_success_at), '-infinity') as at from schedules where name = $1),
           changed as (
             select tenant_id from documents
             where updated_at >= (select at from since) - interval '10 minutes' and ($2::uuid is null or tenant_id > $2)
             union
             select id from tenants
             where embedding_changed_at >= (select at from since) - interval '30 minutes' and ($2::uuid is null or id > $2)
             order by tenant_id limit $3)
           select t.id, t.embedding_model as current, t.next_embedding_model as next,
             coalesce(t.embedding_changed_at < now() - interval '10 minutes', true) as "settled!",
             coalesce((select sum(chunk_count) from documents d
               where d.tenant_id = t.id and d.ready_version is not null), 0) as "chunks!"
           from tenants t join changed on changed.tenant_id = t.id order by t.id"#,
        schedule,
        after.map(TenantId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let changed = rows.into_iter().map(|row| Changed {
        tenant: TenantId::from_uuid(row.id),
        chunks: u64::try_from(row.chunks).unwrap_or_default(),
        models: Models { current: row.current, next: row.next },
        settled: row.settled,
    });
    Ok(changed.collect())
}

/// A version of a document that searches may return.
#[derive(Debug, Clone)]
pub struct Searchable {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
    /// The model that its tenant's searches read.
    pub model: String,
}

/// Searchable versions, in the order of tenants and documents, after one of them; of one tenant when it is named.
pub async fn searchable(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    after: Option<(TenantId, DocumentId)>,
    limit: i64,
) -> Result<Vec<Searchable>, StoreError> {
    let rows = sqlx::query!(
        r#"select d.tenant_id, d.id, d.ready_version as "version!", t.embedding_model as "model!"
           from documents d join tenants t on t.id = d.tenant_id
           where d.ready_version is not null and t.embedding_model is not null and ($1::uuid is null or d.tenant_id = $1)
             and ($2::uuid is null or (d.tenant_id, d.id) > ($2, $3))
           order by d.tenant_id, d.id limit $4"#,
        tenant.map(TenantId::uuid),
        after.map(|(tenant, _)| tenant.uuid()),
        after.map(|(_, document)| document.uuid()),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let searchable = rows.into_iter().map(|row| Searchable {
        tenant: TenantId::from_uuid(row.tenant_id),
        document: DocumentId::from_uuid(row.id),
        version: row.version,
        model: row.model,
    });
    Ok(searchable.collect())
}

/// Searchable versions of a tenant that a model's table does not hold whole, in the order of documents, after one of them.
pub async fn not_held(
    connection: &mut PgConnection,
    tenant: TenantId,
    model: &str,
    after: Option<DocumentId>,
    limit: i64,
) -> Result<Vec<(DocumentId, i32)>, StoreError> {
    let rows = sqlx::query!(
        "select d.id, v.version from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version
         where d.tenant_id = $1 and not v.models ? $2 and ($3::uuid is null or d.id > $3)
         order by d.id limit $4",
        tenant.uuid(),
        model,
        after.map(DocumentId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (DocumentId::from_uuid(row.id), row.version)).collect())
}
