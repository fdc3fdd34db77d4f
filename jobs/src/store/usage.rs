//! Usage against the plan, reserved in the transaction that accepts the work.

use super::{Scope, StoreError, TenantTx};

/// What a plan limits by the month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    Messages,
    Conversations,
}

/// Counts one more of `meter` this month (UTC) unless that would pass `limit`; returns whether it was counted.
///
/// Holds the tenant's counter row until the transaction ends, so that concurrent requests cannot both take
/// the last one.
pub async fn reserve(tx: &mut TenantTx, meter: Meter, limit: i64) -> Result<bool, StoreError> {
    if limit <= 0 {
        return Ok(false);
    }
    let (messages, conversations) = match meter {
        Meter::Messages => (1, 0),
        Meter::Conversations => (0, 1),
    };
    let tenant = tx.tenant().uuid();
    let counted = sqlx::query!(
        "insert into usage_months as u (tenant_id, month, messages, conversations)
         values ($1, date_trunc('month', now() at time zone 'utc')::date, $2, $3)
         on conflict (tenant_id, month) do update
           set messages = u.messages + $2, conversations = u.conversations + $3
           where case when $2 > 0 then u.messages else u.conversations end < $4",
        tenant,
        messages,
        conversations,
        limit,
    )
    .execute(tx.connection())
    .await?;
    Ok(counted.rows_affected() == 1)
}

/// What a tenant has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    pub messages: i64,
    pub conversations: i64,
}

impl Used {
    pub const fn of(self, meter: Meter) -> i64 {
        match meter {
            Meter::Messages => self.messages,
            Meter::Conversations => self.conversations,
        }
    }
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
