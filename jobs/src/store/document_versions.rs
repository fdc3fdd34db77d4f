//! What was uploaded of a document, version by version: the newest one, and the one that searches return meanwhile.

use sqlx::PgConnection;

use super::{
    Scope, StoreError, TenantTx,
    documents::{count, status},
    originals::Version,
};
use crate::domain::{
    document::Status,
    ids::{DocumentId, TenantId},
};

/// An upload about to become a version.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    pub name: &'a str,
    pub content_type: &'a str,
    pub tags: &'a [String],
    pub language: Option<&'a str>,
    pub size: usize,
    /// SHA-256 of the bytes.
    pub checksum: [u8; 32],
}

/// What a version is, as its reader and its chunks need it.
#[derive(Debug, Clone)]
pub struct Described {
    pub name: String,
    pub content_type: String,
    pub tags: Vec<String>,
    pub language: Option<String>,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is the document's newest version now, to be embedded; these older ones are nobody's any more.
    Newest { version: i32, superseded: Vec<i32> },
    /// These bytes, with this name, these tags and this language, are the newest version of this document already.
    Unchanged { document: DocumentId, version: i32, status: Status },
    /// A later upload became the newest version first.
    Overtaken { version: i32, status: Status },
    /// The tenant has as many documents as it may.
    Full,
    /// It was given no number and no place for its bytes, and now turns out to be needed.
    Unprepared,
    /// There is no such document, or it is being removed.
    Missing,
}

/// A document whose newest version is this upload; any document with `None`.
pub async fn same(
    tx: &mut TenantTx,
    document: Option<DocumentId>,
    upload: &Upload<'_>,
) -> Result<Option<Stored>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        "select d.id, d.version, d.status from document_versions v
           join documents d on d.tenant_id = v.tenant_id and d.id = v.document_id and d.version = v.version
         where v.tenant_id = $1 and v.checksum = $2 and v.name = $3 and v.tags = $4
           and v.language is not distinct from $5 and d.status <> 'deleting' and ($6::uuid is null or d.id = $6)
         order by d.id limit 1",
        tenant,
        &upload.checksum,
        upload.name,
        upload.tags,
        upload.language,
        document.map(DocumentId::uuid),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let document = DocumentId::from_uuid(row.id);
        Ok(Stored::Unchanged { document, version: row.version, status: status(row.status)? })
    })
    .transpose()
}

/// Stores a new document with its first version, for which its bytes were put away if `prepared`, unless the tenant has it, or
/// `limit` documents. Fails with [`StoreError::TenantClosed`] when it takes no new work.
pub async fn insert(
    tx: &mut TenantTx,
    document: DocumentId,
    upload: &Upload<'_>,
    limit: i64,
    prepared: bool,
) -> Result<Stored, StoreError> {
    hold_tenant(tx).await?;
    if let Some(same) = same(tx, None, upload).await? {
        return Ok(same);
    }
    if count(tx).await? >= limit {
        return Ok(Stored::Full);
    }
    if !prepared {
        return Ok(Stored::Unprepared);
    }
    let tenant = tx.tenant().uuid();
    sqlx::query!("insert into documents (id, tenant_id) values ($1, $2)", document.uuid(), tenant)
        .execute(tx.connection())
        .await?;
    insert_version(tx, document, 1, upload).await?;
    Ok(Stored::Newest { version: 1, superseded: Vec::new() })
}

/// Gives an upload its number, which says which of several comes last; `None` when there is no such document.
pub async fn reserve(tx: &mut TenantTx, document: DocumentId) -> Result<Option<i32>, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        "update documents set last_version = last_version + 1
         where tenant_id = $1 and id = $2 and status <> 'deleting' returning last_version",
        tenant,
        document.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Makes an upload the newest version, with the number that was reserved for it; searches go on with the one they have. Fails
/// as [`insert`] does.
pub async fn replace(
    tx: &mut TenantTx,
    document: DocumentId,
    reserved: Option<i32>,
    upload: &Upload<'_>,
) -> Result<Stored, StoreError> {
    hold_tenant(tx).await?;
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        "select version, status from documents
         where tenant_id = $1 and id = $2 and status <> 'deleting' for no key update",
        tenant,
        document.uuid(),
    )
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(Stored::Missing) };
    if let Some(same) = same(tx, Some(document), upload).await? {
        return Ok(same);
    }
    let Some(version) = reserved else { return Ok(Stored::Unprepared) };
    if version < row.version {
        return Ok(Stored::Overtaken { version: row.version, status: status(row.status)? });
    }
    insert_version(tx, document, version, upload).await?;
    sqlx::query!(
        "update documents set version = $2, status = 'pending', reason = null, chunks_done = 0, chunks_total = null,
           pages_done = null, pages_total = null, updated_at = now()
         where id = $1",
        document.uuid(),
        version,
    )
    .execute(tx.connection())
    .await?;
    Ok(Stored::Newest { version, superseded: forget_superseded(tx, document).await? })
}

/// Forgets the versions that are neither the newest nor searchable; returns which, whose bytes nobody needs.
pub async fn forget_superseded(tx: &mut TenantTx, document: DocumentId) -> Result<Vec<i32>, StoreError> {
    Ok(sqlx::query_scalar!(
        "delete from document_versions v using documents d
         where v.document_id = $1 and d.id = v.document_id and d.tenant_id = v.tenant_id
           and v.version <> d.version and v.version is distinct from d.ready_version
         returning v.version",
        document.uuid(),
    )
    .fetch_all(tx.connection())
    .await?)
}

/// The version of a document that searches return, if it is this one.
pub async fn searchable(
    tx: &mut TenantTx,
    document: DocumentId,
    version: i32,
) -> Result<Option<Described>, StoreError> {
    Ok(sqlx::query_as!(
        Described,
        "select v.name, v.content_type, v.tags, v.language from documents d join document_versions v
           on v.tenant_id = d.tenant_id and v.document_id = d.id and v.version = d.ready_version
         where d.id = $1 and d.ready_version = $2 and d.status <> 'deleting'",
        document.uuid(),
        version,
    )
    .fetch_optional(tx.connection())
    .await?)
}

/// Those of these versions that a row names.
pub async fn named(connection: &mut PgConnection, versions: &[Version]) -> Result<Vec<Version>, StoreError> {
    let tenants: Vec<_> = versions.iter().map(|version| version.tenant.uuid()).collect();
    let documents: Vec<_> = versions.iter().map(|version| version.document.uuid()).collect();
    let numbers: Vec<_> = versions.iter().map(|version| version.version).collect();
    let rows = sqlx::query!(
        "select v.tenant_id, v.document_id, v.version from document_versions v
           join unnest($1::uuid[], $2::uuid[], $3::integer[]) as asked(tenant_id, document_id, version)
             using (tenant_id, document_id, version)",
        &tenants,
        &documents,
        &numbers,
    )
    .fetch_all(connection)
    .await?;
    let named = rows.into_iter().map(|row| Version {
        tenant: TenantId::from_uuid(row.tenant_id),
        document: DocumentId::from_uuid(row.document_id),
        version: row.version,
    });
    Ok(named.collect())
}

/// Serialises a tenant's uploads until commit, so that two cannot both take the last place, or store the same.
async fn hold_tenant(tx: &mut TenantTx) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    let open = sqlx::query_scalar!(
        r#"select enabled and not erasing as "open!" from tenants where id = $1 for no key update"#,
        tenant
    )
    .fetch_optional(tx.connection())
    .await?;
    if open == Some(true) { Ok(()) } else { Err(StoreError::TenantClosed) }
}

async fn insert_version(
    tx: &mut TenantTx,
    document: DocumentId,
    version: i32,
    upload: &Upload<'_>,
) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "insert into document_versions (tenant_id, document_id, version, name, content_type, tags, language, size_bytes, checksum)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        tenant,
        document.uuid(),
        version,
        upload.name,
        upload.content_type,
        upload.tags,
        upload.language,
        upload.size as i64,
        &upload.checksum,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
