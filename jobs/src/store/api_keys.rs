//! API keys: hashes of secrets shown once.

use super::{Scope, StoreError, SystemTx, tenants::Tenant};
use crate::domain::ids::{ApiKeyId, TenantId};

#[derive(Debug, Clone)]
pub struct NewApiKey<'a> {
    pub id: ApiKeyId,
    pub tenant: TenantId,
    pub name: &'a str,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub last_four: &'a str,
}

pub async fn insert(tx: &mut SystemTx, key: &NewApiKey<'_>) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into api_keys (id, tenant_id, name, hash, last_four) values ($1, $2, $3, $4, $5)",
        key.id.uuid(),
        key.tenant.uuid(),
        key.name,
        &key.hash[..],
        key.last_four,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a key opens.
#[derive(Debug, Clone)]
pub struct Opened {
    pub key: ApiKeyId,
    pub tenant: Tenant,
}

/// What a key opens; `None` for an unknown or revoked key.
pub async fn open(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<Option<Opened>, StoreError> {
    let row = sqlx::query!(
        r#"select k.id as key, t.id, t.name, t.plan, t.limits, t.settings, t.enabled and not t.erasing as "enabled!"
           from api_keys k join tenants t on t.id = k.tenant_id
           where k.hash = $1 and k.revoked_at is null"#,
        &hash[..]
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let id = TenantId::from_uuid(row.id);
        let tenant = super::tenants::tenant(id, row.name, &row.plan, row.limits, row.settings, row.enabled)?;
        Ok(Opened { key: ApiKeyId::from_uuid(row.key), tenant })
    })
    .transpose()
}
