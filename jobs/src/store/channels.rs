//! Channels and their secrets, which are written and never shown.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, secrets::Column};
use crate::domain::{
    channel::{ChannelConfig, ChannelSecret, ChannelType},
    ids::ChannelId,
    secret::Vault,
};

#[derive(Debug, Clone)]
pub struct Channel {
    pub id: ChannelId,
    pub kind: ChannelType,
    pub name: String,
    pub config: ChannelConfig,
    pub created_at: DateTime<Utc>,
    /// By their names.
    pub secrets: Vec<Shown>,
}

/// What is shown of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub name: String,
    pub last_four: String,
    pub set_at: DateTime<Utc>,
}

#[derive(Debug, Clone)]
pub struct NewChannel<'a> {
    pub id: ChannelId,
    pub kind: ChannelType,
    pub name: &'a str,
    pub config: &'a ChannelConfig,
}

struct Row {
    id: Uuid,
    kind: String,
    name: String,
    config: Value,
    created_at: DateTime<Utc>,
}

/// Adds a channel without secrets; returns false when the tenant already has `limit` of them.
///
/// # Errors
///
/// The constraint `channels_account_unique` when the tenant has a channel of this account.
pub async fn insert(tx: &mut TenantTx, channel: &NewChannel<'_>, limit: i64) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let added = sqlx::query!(
        "insert into channels (id, tenant_id, type, name, config)
         select $1, $2, $3, $4, $5 where (select count(*) from channels where tenant_id = $2) < $6",
        channel.id.uuid(),
        tenant,
        channel.kind.as_str(),
        channel.name,
        serde_json::to_value(channel.config)?,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A channel; `None` when the tenant has no such channel.
pub async fn find(tx: &mut TenantTx, id: ChannelId) -> Result<Option<Channel>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query_as!(
        Row,
        "select id, type as kind, name, config, created_at from channels where tenant_id = $1 and id = $2",
        tenant,
        id.uuid()
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(with_secrets(tx, row.into_iter().collect()).await?.pop())
}

/// Channels, newest first, after a position.
pub async fn list(tx: &mut TenantTx, after: Option<ChannelId>, limit: i64) -> Result<Vec<Channel>, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query_as!(
        Row,
        "select id, type as kind, name, config, created_at from channels
         where tenant_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3",
        tenant,
        after.map(ChannelId::uuid),
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    with_secrets(tx, rows).await
}

/// Removes a channel with its secrets; returns false when the tenant has no such channel.
pub async fn delete(tx: &mut TenantTx, id: ChannelId) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let deleted = sqlx::query!("delete from channels where tenant_id = $1 and id = $2", tenant, id.uuid())
        .execute(tx.connection())
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Sets a secret of a channel, in place of the one before.
///
/// # Errors
///
/// The constraint `channel_secrets_channel_fk` when the tenant has no such channel.
pub async fn set_secret(
    tx: &mut TenantTx,
    vault: &Vault,
    channel: ChannelId,
    name: ChannelSecret,
    value: &SecretString,
    last_four: &str,
) -> Result<(), StoreError> {
    let (id, tenant) = (Uuid::now_v7(), tx.tenant());
    let sealed = vault.seal(Column::ChannelSecret.place(Some(tenant), id), value);
    sqlx::query!(
        "insert into channel_secrets (id, tenant_id, channel_id, name, value, last_four) values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant_id, channel_id, name) do update
           set id = excluded.id, value = excluded.value, last_four = excluded.last_four, set_at = now()",
        id,
        tenant.uuid(),
        channel.uuid(),
        name.as_str(),
        sealed.as_bytes(),
        last_four,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

async fn with_secrets(tx: &mut TenantTx, rows: Vec<Row>) -> Result<Vec<Channel>, StoreError> {
    let (tenant, ids): (_, Vec<_>) = (tx.tenant().uuid(), rows.iter().map(|row| row.id).collect());
    let secrets = sqlx::query!(
        "select channel_id, name, last_four, set_at from channel_secrets
         where tenant_id = $1 and channel_id = any($2) order by channel_id, name",
        tenant,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    let mut by_channel: HashMap<Uuid, Vec<Shown>> = HashMap::new();
    for secret in secrets {
        let shown = Shown { name: secret.name, last_four: secret.last_four, set_at: secret.set_at };
        by_channel.entry(secret.channel_id).or_default().push(shown);
    }
    let channel = |row: Row| {
        let unreadable = || StoreError::Unreadable { column: "channels.type", value: row.kind.clone() };
        Ok(Channel {
            id: ChannelId::from_uuid(row.id),
            kind: ChannelType::parse(&row.kind).ok_or_else(unreadable)?,
            name: row.name,
            config: serde_json::from_value(row.config)?,
            created_at: row.created_at,
            secrets: by_channel.remove(&row.id).unwrap_or_default(),
        })
    };
    rows.into_iter().map(channel).collect()
}
