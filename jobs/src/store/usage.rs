//! Usage against the plan, counted in the statement that accepts the work.

use super::{Scope, StoreError, SystemTx, TenantTx};
use crate::domain::{ids::TenantId, plan::Limits};

/// What a plan limits by the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    Messages,
    Conversations,
}

/// The limit that one more would pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub meter: Meter,
    pub used: i64,
    pub limit: i64,
}

/// Which limit a message was refused for, `opens` telling whether it would have opened a conversation.
pub async fn reached(tx: &mut TenantTx, opens: bool, limits: Limits) -> Result<Reached, StoreError> {
    let used = this_month(tx).await?;
    Ok(match opens && used.conversations >= limits.conversations {
        true => Reached { meter: Meter::Conversations, used: used.conversations, limit: limits.conversations },
        false => Reached { meter: Meter::Messages, used: used.messages, limit: limits.messages },
    })
}

/// What a tenant has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub messages: i64,
    pub conversations: i64,
}

/// What was counted this month (UTC).
pub async fn this_month(tx: &mut TenantTx) -> Result<Used, StoreError> {
    let tenant = tx.tenant().uuid();
    let used = sqlx::query_as!(
        Used,
        "select messages, conversations from usage_months
         where tenant_id = $1 and month = date_trunc('month', now() at time zone 'utc')::date",
        tenant
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(used.unwrap_or_default())
}

/// Calls of the API that were added up this month (UTC).
pub async fn api_calls(tx: &mut TenantTx) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    let calls = sqlx::query_scalar!(
        "select calls from api_call_months
         where tenant_id = $1 and month = date_trunc('month', now() at time zone 'utc')::date",
        tenant
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(calls.unwrap_or_default())
}

/// Adds calls of many tenants to this month (UTC) and returns their sums. A tenant that was erased has none.
///
/// Every process locks the rows in the order of the tenants, so that no two wait for each other.
pub async fn add_api_calls(tx: &mut SystemTx, calls: &[(TenantId, i64)]) -> Result<Vec<(TenantId, i64)>, StoreError> {
    let (tenants, calls): (Vec<_>, Vec<_>) = calls.iter().map(|(tenant, calls)| (tenant.uuid(), *calls)).unzip();
    let sums = sqlx::query!(
        "insert into api_call_months as m (tenant_id, month, calls)
         select t.id, date_trunc('month', now() at time zone 'utc')::date, counted.calls
         from unnest($1::uuid[], $2::bigint[]) as counted (tenant_id, calls) join tenants t on t.id = counted.tenant_id
         order by t.id
         on conflict (tenant_id, month) do update set calls = m.calls + excluded.calls
         returning tenant_id, calls",
        &tenants,
        &calls,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(sums.into_iter().map(|sum| (TenantId::from_uuid(sum.tenant_id), sum.calls)).collect())
}
