//! A document's rows. Its vectors are removed by the index, its original by the object store.

use crate::{
    domain::{
        erasure::{self, Rows},
        ids::DocumentId,
    },
    store::{Scope, StoreError, TenantTx},
};

/// Unfinished jobs of these kinds that work on a document.
pub async fn unfinished(tx: &mut TenantTx, document: DocumentId, kinds: &[&str]) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where tenant_id = $1 and subject = $2 and kind = any($3)"#,
        tenant,
        document.uuid(),
        kinds as &[&str],
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Deletes a document that is being removed, with its events and its jobs.
pub async fn delete(tx: &mut TenantTx, document: DocumentId, removed: &mut Rows) -> Result<(), StoreError> {
    super::contact::delete_jobs(tx, &[document.uuid()], removed).await?;
    let attempts = sqlx::query!(
        "delete from webhook_attempts where event_id in (
           select id from events
           where type in ('document.indexed', 'document.failed') and data ->> 'document_id' = $1)",
        document.to_string()
    )
    .execute(tx.connection())
    .await?;
    let events = sqlx::query!(
        "delete from events where type in ('document.indexed', 'document.failed') and data ->> 'document_id' = $1",
        document.to_string()
    )
    .execute(tx.connection())
    .await?;
    let versions = sqlx::query!(
        "delete from document_versions v using documents d
         where v.document_id = $1 and d.tenant_id = v.tenant_id and d.id = v.document_id and d.status = 'deleting'",
        document.uuid()
    )
    .execute(tx.connection())
    .await?;
    let documents = sqlx::query!("delete from documents where id = $1 and status = 'deleting'", document.uuid())
        .execute(tx.connection())
        .await?;
    for (table, deleted) in
        [("webhook_attempts", attempts), ("events", events), ("document_versions", versions), ("documents", documents)]
    {
        erasure::add(removed, table, deleted.rows_affected());
    }
    Ok(())
}

/// What is left of a document, by table.
pub async fn left(tx: &mut TenantTx, document: DocumentId) -> Result<Rows, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        r#"select 'documents' as "name!", count(*) as "rows!" from documents where tenant_id = $1 and id = $2
           union all select 'document_versions', count(*) from document_versions
             where tenant_id = $1 and document_id = $2
           union all select 'events', count(*) from events
             where type in ('document.indexed', 'document.failed') and data ->> 'document_id' = $3
           union all select 'jobs', count(*) from jobs where tenant_id = $1 and subject = $2
           union all select 'dead_jobs', count(*) from dead_jobs where tenant_id = $1 and subject = $2"#,
        tenant,
        document.uuid(),
        document.to_string(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.rows)).collect())
}
