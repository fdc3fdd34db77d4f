//! Which embedding model a tenant searches, which one is being built beside it, and the switch between the two.

use sqlx::PgConnection;

use super::{Scope, StoreError, TenantTx};
use crate::domain::{
    document::Status,
    ids::{DocumentId, TenantId},
};

/// Why a document is stale, in words for its owner.
const LOST: &str = "The search moved on to another model, and what was uploaded is missing. Please upload it again.";

/// A tenant's embedding models, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Models {
    /// What its searches read; `None` before its first document.
    pub current: Option<String>,
    /// What is being built beside it.
    pub next: Option<String>,
}

impl Models {
    pub fn include(&self, model: &str) -> bool {
        self.all().any(|own| own == model)
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        [&self.current, &self.next].into_iter().flatten().map(String::as_str)
    }
}

/// Notes that a worker has loaded a model.
pub async fn announce(connection: &mut PgConnection, id: &str, name: &str, dimension: i32) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into embedding_models (id, name, dimension) values ($1, $2, $3)
         on conflict (id) do update set loaded_at = now()",
        id,
        name,
        dimension,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The id of a model that a worker has loaded, by its id, or the latest of its name.
pub async fn resolve(connection: &mut PgConnection, name: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!(
        "select id from embedding_models where id = $1 or name = $1 order by id = $1 desc, loaded_at desc limit 1",
        name
    )
    .fetch_optional(connection)
    .await?)
}

/// The transaction's tenant's models; none when there is no such tenant.
pub async fn of_tenant(tx: &mut TenantTx) -> Result<Models, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Models,
        "select embedding_model as current, next_embedding_model as next from tenants where id = $1",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.unwrap_or(Models { current: None, next: None }))
}

/// As [`of_tenant`]; they stay what they are until the transaction ends.
pub async fn held(tx: &mut TenantTx) -> Result<Models, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Models,
        "select embedding_model as current, next_embedding_model as next from tenants where id = $1 for share",
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.unwrap_or(Models { current: None, next: None }))
}

/// The model of the tenant's documents; its first document has it take `model`.
pub async fn adopt(tx: &mut TenantTx, model: &str) -> Result<Option<String>, StoreError> {
    let models = of_tenant(tx).await?;
    if models.current.is_some() {
        return Ok(models.current);
    }
    let tenant = tx.tenant().uuid();
    let current = sqlx::query_scalar!(
        "update tenants set embedding_model = coalesce(embedding_model, $2) where id = $1 returning embedding_model",
        tenant,
        model,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(current.flatten())
}

/// Tenants, all or the one that is named, that are to search a model and do not yet, after one of them.
pub async fn elsewhere(
    connection: &mut PgConnection,
    model: &str,
    tenant: Option<TenantId>,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "select id from tenants
         where embedding_model is distinct from $1 and not erasing and ($2::uuid is null or id = $2)
           and ($3::uuid is null or id > $3)
         order by id limit $4",
        model,
        tenant.map(TenantId::uuid),
        after.map(TenantId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(TenantId::from_uuid).collect())
}

/// Has a tenant's documents go to this model too, from now on.
pub async fn begin(connection: &mut PgConnection, tenant: TenantId, model: &str) -> Result<(), StoreError> {
    sqlx::query!(
        "update tenants set next_embedding_model = $2, embedding_changed_at = now()
         where id = $1 and embedding_model is distinct from $2 and next_embedding_model is distinct from $2",
        tenant.uuid(),
        model,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a model's table holds a searchable version whole; returns false when searches have another one by now. Holds
/// the tenant until the transaction ends.
pub async fn hold_version(
    tx: &mut TenantTx,
    document: DocumentId,
    version: i32,
    model: &str,
    chunks: i32,
) -> Result<bool, StoreError> {
    hold_tenant(tx).await?;
    let noted = sqlx::query!(
        "update document_versions v set models = models || jsonb_build_object($3::text, $4::integer)
         from documents d
         where v.document_id = $1 and v.version = $2 and d.tenant_id = v.tenant_id and d.id = v.document_id
           and d.ready_version = v.version and d.status <> 'deleting'",
        document.uuid(),
        version,
        model,
        chunks,
    )
    .execute(tx.connection())
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes that a version cannot be embedded anew. Holds the tenant until the transaction ends.
pub async fn lose_version(tx: &mut TenantTx, document: DocumentId, version: i32) -> Result<(), StoreError> {
    hold_tenant(tx).await?;
    sqlx::query!(
        "update document_versions set lost = true where document_id = $1 and version = $2",
        document.uuid(),
        version
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn hold_tenant(tx: &mut TenantTx) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!("select 1 as found from tenants where id = $1 for no key update", tenant)
        .fetch_optional(tx.connection())
        .await?;
    Ok(())
}

/// Has a tenant's searches read its next model, once that one's table holds every searchable version that can be embedded. In
/// one commit: searches find the whole of one model or of the other. What could not be embedded is stale from then on. Returns
/// whether it switched.
pub async fn switch_when_whole(
    connection: &mut PgConnection,
    tenant: TenantId,
    model: &str,
) -> Result<bool, StoreError> {
    let next =
        sqlx::query_scalar!("select next_embedding_model from tenants where id = $1 for no key update", tenant.uuid())
            .fetch_optional(&mut *connection)
            .await?;
    if next.flatten().as_deref() != Some(model) {
        return Ok(false);
    }
    let waiting = sqlx::query_scalar!(
        r#"select exists (
             select from documents d join document_versions v
               on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version
             where d.tenant_id = $1 and not v.models ? $2 and not v.lost) as "waiting!""#,
        tenant.uuid(),
        model,
    )
    .fetch_one(&mut *connection)
    .await?;
    if waiting {
        return Ok(false);
    }
    sqlx::query!(
        "update documents d set chunk_count = coalesce((v.models ->> $2)::integer, 0),
           ready_version = case when v.models ? $2 then d.ready_version end,
           status = case when v.models ? $2 or d.status <> $3 then d.status else $4 end,
           reason = case when v.models ? $2 or d.status <> $3 then d.reason else $5 end,
           updated_at = now()
         from document_versions v
         where d.tenant_id = $1 and v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version",
        tenant.uuid(),
        model,
        Status::Ready.as_str(),
        Status::Stale.as_str(),
        LOST,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update tenants set embedding_model = $2, next_embedding_model = null, embedding_changed_at = now() where id = $1",
        tenant.uuid(),
        model,
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// How far a model has come, over all tenants.
#[derive(Debug, Clone)]
pub struct Standing {
    pub model: String,
    /// Tenants that search it, and the chunks that their searches read.
    pub tenants: i64,
    pub chunks: i64,
    /// Tenants it is being built for, and their searchable documents: how many it holds, of how many.
    pub building: i64,
    pub documents_done: i64,
    pub documents_total: i64,
    /// Whether a worker ever loaded it.
    pub loaded: bool,
}

/// Every model that a worker has loaded or a tenant names.
pub async fn standings(connection: &mut PgConnection) -> Result<Vec<Standing>, StoreError> {
    Ok(sqlx::query_as!(
        Standing,
        r#"with known as (
             select id from embedding_models
             union select embedding_model from tenants where embedding_model is not null
             union select next_embedding_model from tenants where next_embedding_model is not null),
           searchable as (
             select t.embedding_model, t.next_embedding_model, d.chunk_count, v.models ? t.next_embedding_model as done
             from tenants t join documents d on d.tenant_id = t.id join document_versions v
               on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version)
           select k.id as "model!",
             (select count(*) from tenants where embedding_model = k.id) as "tenants!",
             coalesce((select sum(chunk_count) from searchable where embedding_model = k.id), 0)::bigint as "chunks!",
             (select count(*) from tenants where next_embedding_model = k.id) as "building!",
             (select count(*) from searchable where next_embedding_model = k.id and done) as "documents_done!",
             (select count(*) from searchable where next_embedding_model = k.id) as "documents_total!",
             exists (select from embedding_models m where m.id = k.id) as "loaded!"
           from known k order by 2 desc, 1"#
    )
    .fetch_all(connection)
    .await?)
}
