//! What the search index should hold, across tenants: for its upkeep and its rebuilding.

use sqlx::PgConnection;

use super::StoreError;
use crate::domain::ids::{DocumentId, TenantId};

/// A tenant whose documents changed.
#[derive(Debug, Clone)]
pub struct Changed {
    pub tenant: TenantId,
    /// Chunks of its searchable versions: at least so many are in the index, unless something was lost.
    pub chunks: u64,
}

/// Tenants with a document that changed since a schedule last succeeded, or within ten minutes before, after one of them;
/// all tenants with documents when it never did.
pub async fn changed_tenants(
    connection: &mut PgConnection,
    schedule: &str,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<Changed>, StoreError> {
    let rows = sqlx::query!(
        r#"with changed as (
             select distinct tenant_id from documents
             where updated_at >= coalesce(
                 (select last_success_at from schedules where name = $1) - interval '10 minutes', '-infinity')
               and ($2::uuid is null or tenant_id > $2)
             order by tenant_id limit $3)
           select tenant_id, coalesce(sum(chunk_count) filter (where ready_version is not null), 0) as "chunks!"
           from documents join changed using (tenant_id) group by tenant_id order by tenant_id"#,
        schedule,
        after.map(TenantId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let changed = rows.into_iter().map(|row| Changed {
        tenant: TenantId::from_uuid(row.tenant_id),
        chunks: u64::try_from(row.chunks).unwrap_or_default(),
    });
    Ok(changed.collect())
}

/// A version of a document that searches may return.
#[derive(Debug, Clone)]
pub struct Searchable {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
}

/// Searchable versions that are the newest of their documents, in the order of tenants and documents, after one of them; of
/// one tenant when it is named.
pub async fn searchable(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    after: Option<(TenantId, DocumentId)>,
    limit: i64,
) -> Result<Vec<Searchable>, StoreError> {
    let rows = sqlx::query!(
        r#"select tenant_id, id, ready_version as "version!" from documents
           where ready_version = version and status = 'ready' and ($1::uuid is null or tenant_id = $1)
             and ($2::uuid is null or (tenant_id, id) > ($2, $3))
           order by tenant_id, id limit $4"#,
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
    });
    Ok(searchable.collect())
}

/// Has the next run of these documents' jobs begin with the first passage, whatever earlier ones stored.
pub async fn begin_again(connection: &mut PgConnection, documents: &[DocumentId]) -> Result<(), StoreError> {
    let ids: Vec<_> = documents.iter().map(|document| document.uuid()).collect();
    sqlx::query!("update documents set chunks_done = 0 where id = any($1)", &ids).execute(connection).await?;
    Ok(())
}
