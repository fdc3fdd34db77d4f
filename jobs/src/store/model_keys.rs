//! A tenant's own key of the model provider.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, secrets::Column};
use crate::domain::secret::{Sealed, Vault};

/// What is shown of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub last_four: String,
    pub set_at: DateTime<Utc>,
}

/// The tenant's key as it is shown; `None` when it has none.
pub async fn find(tx: &mut TenantTx) -> Result<Option<Shown>, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_as!(Shown, "select last_four, set_at from model_keys where tenant_id = $1", tenant)
        .fetch_optional(tx.connection())
        .await?)
}

/// The tenant's key; `None` when it has none.
pub async fn open(tx: &mut TenantTx, vault: &Vault) -> Result<Option<SecretString>, StoreError> {
    let tenant = tx.tenant();
    let row = sqlx::query!("select id, key from model_keys where tenant_id = $1", tenant.uuid())
        .fetch_optional(tx.connection())
        .await?;
    let opened = row.map(|row| vault.open(Column::ModelKey.place(Some(tenant), row.id), &Sealed::from_bytes(row.key)));
    Ok(opened.transpose()?)
}

/// Sets the key, in place of the one before.
pub async fn set(tx: &mut TenantTx, vault: &Vault, key: &SecretString, last_four: &str) -> Result<Shown, StoreError> {
    let (id, tenant) = (Uuid::now_v7(), tx.tenant());
    let sealed = vault.seal(Column::ModelKey.place(Some(tenant), id), key);
    Ok(sqlx::query_as!(
        Shown,
        "insert into model_keys (id, tenant_id, key, last_four) values ($1, $2, $3, $4)
         on conflict (tenant_id) do update
           set id = excluded.id, key = excluded.key, last_four = excluded.last_four, set_at = now()
         returning last_four, set_at",
        id,
        tenant.uuid(),
        sealed.as_bytes(),
        last_four,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Removes the key; returns what was shown of it, `None` when there was none.
pub async fn remove(tx: &mut TenantTx) -> Result<Option<Shown>, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_as!(Shown, "delete from model_keys where tenant_id = $1 returning last_four, set_at", tenant)
        .fetch_optional(tx.connection())
        .await?)
}
