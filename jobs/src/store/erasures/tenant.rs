//! Everything of a tenant, table by table as the catalogue lists them, then the tenant itself.

use crate::{
    domain::{
        erasure::Rows,
        ids::{ErasureId, TenantId},
    },
    store::{Scope, StoreError, SystemTx, TenantTx},
};

/// Closes a tenant for new work; returns false when there is none of this id.
pub async fn close(tx: &mut SystemTx, id: TenantId) -> Result<bool, StoreError> {
    let closed =
        sqlx::query!("update tenants set erasing = true where id = $1", id.uuid()).execute(tx.connection()).await?;
    Ok(closed.rows_affected() == 1)
}

/// Takes up to `most` documents out of searches, so that jobs that embed them end; returns how many.
pub async fn withdraw_documents(tx: &mut TenantTx, most: i64) -> Result<u64, StoreError> {
    let tenant = tx.tenant().uuid();
    let withdrawn = sqlx::query!(
        "update documents set status = 'deleting', ready_version = null, version = last_version + 1,
           last_version = last_version + 1, updated_at = now()
         where id in (select id from documents where tenant_id = $1 and status <> 'deleting' limit $2)",
        tenant,
        most,
    )
    .execute(tx.connection())
    .await?;
    Ok(withdrawn.rows_affected())
}

/// Unfinished jobs of these kinds.
pub async fn unfinished(tx: &mut TenantTx, kinds: &[&str]) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from jobs where tenant_id = $1 and kind = any($2)"#,
        tenant,
        kinds as &[&str],
    )
    .fetch_one(tx.connection())
    .await?)
}

/// The tables whose rows go with a tenant, in an order in which they can be emptied.
pub async fn tables(tx: &mut TenantTx) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar!(r#"select tenant_owned_tables() as "name!""#).fetch_all(tx.connection()).await?)
}

/// Deletes up to `most` of the tenant's rows from one of [`tables`]; returns how many.
pub async fn delete_some(tx: &mut TenantTx, table: &str, most: i32) -> Result<u64, StoreError> {
    let deleted = sqlx::query_scalar!(r#"select erase_rows($1, $2) as "deleted!""#, table, most)
        .fetch_one(tx.connection())
        .await?;
    Ok(deleted.unsigned_abs())
}

/// Takes a tenant's name off up to `most` rows of the API's log; returns how many. The tenant itself may not write a row
/// that is nobody's.
pub async fn forget_in_logs(tx: &mut SystemTx, id: TenantId, most: i64) -> Result<u64, StoreError> {
    let forgotten = sqlx::query!(
        "update api_logs set tenant_id = null, api_key_id = null
         where (id, created_at) in (select id, created_at from api_logs where tenant_id = $1 limit $2)",
        id.uuid(),
        most,
    )
    .execute(tx.connection())
    .await?;
    Ok(forgotten.rows_affected())
}

/// Deletes the tenant, and by cascade what came since its tables were emptied. Other erasures that it asked for and that
/// are not finished are covered by this one.
pub async fn delete(tx: &mut TenantTx, erasure: ErasureId) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "delete from erasures where tenant_id = $1 and id <> $2 and finished_at is null",
        tenant,
        erasure.uuid(),
    )
    .execute(tx.connection())
    .await?;
    sqlx::query!("delete from tenants where id = $1", tenant).execute(tx.connection()).await?;
    Ok(())
}

/// The tenant's rows in every table, by table.
pub async fn rows(tx: &mut TenantTx) -> Result<Rows, StoreError> {
    let rows = sqlx::query!(r#"select name as "name!", rows as "rows!" from tenant_rows()"#)
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.rows)).collect())
}
