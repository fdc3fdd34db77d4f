//! The columns that hold sealed values, walked a page at a time.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Scope, StoreError, SystemTx};
use crate::domain::{
    ids::TenantId,
    secret::{OpenError, Place, Sealed, Vault},
};

/// A column of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    CallbackSecret,
    ChannelSecret,
    EndpointSecret,
    ModelKey,
    /// Responses that show a secret.
    SavedResponse,
}

impl Column {
    pub const ALL: [Self; 5] =
        [Self::CallbackSecret, Self::ChannelSecret, Self::EndpointSecret, Self::ModelKey, Self::SavedResponse];

    /// `table.column`. Authenticated with every value: a renamed column keeps its name here.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallbackSecret => "tenants.callback_secret",
            Self::ChannelSecret => "channel_secrets.value",
            Self::EndpointSecret => "webhook_endpoints.secret",
            Self::ModelKey => "model_keys.key",
            Self::SavedResponse => "idempotency_keys.sealed",
        }
    }

    pub const fn place(self, tenant: Option<TenantId>, row: Uuid) -> Place {
        Place { column: self.name(), tenant, row }
    }
}

struct Row {
    id: Uuid,
    tenant: Option<Uuid>,
    sealed: Vec<u8>,
}

/// What a page of a column came to.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The next page begins after it; `None` at the column's end.
    pub last: Option<Uuid>,
    /// Values looked at, by the id of their key; those that name none under an empty id.
    pub by_key: BTreeMap<String, u64>,
}

/// Counts one page of a column.
pub async fn count(tx: &mut SystemTx, column: Column, after: Option<Uuid>, limit: i64) -> Result<Page, StoreError> {
    let rows = page(tx, column, after, limit).await?;
    let mut by_key = BTreeMap::new();
    for row in &rows {
        let sealed = Sealed::from_bytes(row.sealed.clone());
        *by_key.entry(sealed.key().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(Page { last: rows.last().map(|row| row.id), by_key })
}

/// What sealing a page of a column anew came to.
#[derive(Debug, Clone, Default)]
pub struct Rotated {
    /// The next page begins after it; `None` at the column's end.
    pub last: Option<Uuid>,
    pub looked_at: u64,
    pub sealed_anew: u64,
    /// Rows whose value does not open, left as they are.
    pub unopened: Vec<(Uuid, OpenError)>,
}

/// Seals the values of one page anew that are not sealed with the vault's first key. A value that changed meanwhile keeps its
/// change.
pub async fn rotate(
    tx: &mut SystemTx,
    vault: &Vault,
    column: Column,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Rotated, StoreError> {
    let rows = page(tx, column, after, limit).await?;
    let mut rotated =
        Rotated { last: rows.last().map(|row| row.id), looked_at: rows.len() as u64, ..Rotated::default() };
    let (mut ids, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let (place, sealed) =
            (column.place(row.tenant.map(TenantId::from_uuid), row.id), Sealed::from_bytes(row.sealed));
        if vault.is_current(&sealed) {
            continue;
        }
        match vault.open(place, &sealed) {
            Ok(secret) => {
                ids.push(row.id);
                old.push(sealed.as_bytes().to_vec());
                new.push(vault.seal(place, &secret).as_bytes().to_vec());
            }
            Err(reason) => rotated.unopened.push((row.id, reason)),
        }
    }
    rotated.sealed_anew = replace(tx, column, &ids, &old, &new).await?;
    Ok(rotated)
}

/// Rows of a column in the order of their ids.
async fn page(tx: &mut SystemTx, column: Column, after: Option<Uuid>, limit: i64) -> Result<Vec<Row>, StoreError> {
    let connection = tx.connection();
    Ok(match column {
        Column::CallbackSecret => {
            sqlx::query_as!(
                Row,
                r#"select id, id as "tenant?", callback_secret as sealed from tenants
                   where $1::uuid is null or id > $1 order by id limit $2"#,
                after,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
        Column::ChannelSecret => {
            sqlx::query_as!(
                Row,
                r#"select id, tenant_id as "tenant?", value as sealed from channel_secrets
                   where $1::uuid is null or id > $1 order by id limit $2"#,
                after,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
        Column::EndpointSecret => {
            sqlx::query_as!(
                Row,
                r#"select id, tenant_id as "tenant?", secret as sealed from webhook_endpoints
                   where $1::uuid is null or id > $1 order by id limit $2"#,
                after,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
        Column::ModelKey => {
            sqlx::query_as!(
                Row,
                r#"select id, tenant_id as "tenant?", key as sealed from model_keys
                   where $1::uuid is null or id > $1 order by id limit $2"#,
                after,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
        Column::SavedResponse => {
            sqlx::query_as!(
                Row,
                r#"select id, tenant_id as "tenant?", sealed as "sealed!" from idempotency_keys
                   where sealed is not null and ($1::uuid is null or id > $1) order by id limit $2"#,
                after,
                limit,
            )
            .fetch_all(connection)
            .await?
        }
    })
}

/// Puts `new` in the place of `old`, where that still stands; returns in how many rows it did.
async fn replace(
    tx: &mut SystemTx,
    column: Column,
    ids: &[Uuid],
    old: &[Vec<u8>],
    new: &[Vec<u8>],
) -> Result<u64, StoreError> {
    let replaced = match column {
        Column::CallbackSecret => sqlx::query!(
            "update tenants t set callback_secret = n.new
             from unnest($1::uuid[], $2::bytea[], $3::bytea[]) n (id, old, new)
             where t.id = n.id and t.callback_secret = n.old",
            ids,
            old,
            new,
        ),
        Column::ChannelSecret => sqlx::query!(
            "update channel_secrets c set value = n.new
             from unnest($1::uuid[], $2::bytea[], $3::bytea[]) n (id, old, new)
             where c.id = n.id and c.value = n.old",
            ids,
            old,
            new,
        ),
        Column::EndpointSecret => sqlx::query!(
            "update webhook_endpoints e set secret = n.new
             from unnest($1::uuid[], $2::bytea[], $3::bytea[]) n (id, old, new)
             where e.id = n.id and e.secret = n.old",
            ids,
            old,
            new,
        ),
        Column::ModelKey => sqlx::query!(
            "update model_keys m set key = n.new
             from unnest($1::uuid[], $2::bytea[], $3::bytea[]) n (id, old, new)
             where m.id = n.id and m.key = n.old",
            ids,
            old,
            new,
        ),
        Column::SavedResponse => sqlx::query!(
            "update idempotency_keys k set sealed = n.new
             from unnest($1::uuid[], $2::bytea[], $3::bytea[]) n (id, old, new)
             where k.id = n.id and k.sealed = n.old",
            ids,
            old,
            new,
        ),
    };
    Ok(replaced.execute(tx.connection()).await?.rows_affected())
}
