//! The relay's SQL: which rows of the ledger no lane holds, and when to look at a row again.
//!
//! Conditions compare with `now()`, which an index can serve, not with `clock_timestamp()`, which none can.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    StoreError,
    jobs::{JobRow, Position, Unparsed},
};
use crate::domain::ids::{JobId, TenantId};

/// The oldest due rows that no lane is known to hold.
pub async fn due(connection: &mut PgConnection, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    let rows = sqlx::query_as!(
        Unparsed,
        "select j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan
         from jobs j where j.relay_at <= now() order by j.relay_at limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(JobRow::from).collect())
}

/// The due rows of a kind after a position, whether or not a lane was known to hold them: what a lane that lost
/// its data is rebuilt from.
pub async fn due_after(
    connection: &mut PgConnection,
    kind: &str,
    after: Position,
    limit: i64,
) -> Result<Vec<JobRow>, StoreError> {
    let rows = sqlx::query_as!(
        Unparsed,
        "select j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan
         from jobs j
         where j.kind = $1 and (j.run_at, j.id) > ($2, $3) and j.run_at <= now()
         order by j.run_at, j.id limit $4",
        kind,
        after.0,
        after.1.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(JobRow::from).collect())
}

/// Sets when the relay looks at rows again, and whether they wait for room in their lane. Rows that changed since
/// they were read keep what the change said.
pub async fn postpone(
    connection: &mut PgConnection,
    rows: &[(JobId, DateTime<Utc>)],
    again_in: Duration,
    parked: bool,
) -> Result<(), StoreError> {
    let (ids, seen): (Vec<_>, Vec<_>) = rows.iter().map(|(id, seen)| (id.uuid(), *seen)).unzip();
    sqlx::query!(
        "update jobs j set relay_at = clock_timestamp() + make_interval(secs => $3), parked = $4
         from unnest($1::uuid[], $2::timestamptz[]) as r(id, seen)
         where j.id = r.id and j.relay_at = r.seen",
        &ids,
        &seen,
        again_in.as_secs_f64(),
        parked,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Hands a job back to the relay that leaves its lane unfinished, if it is still in the ledger. Always sets another time:
/// a relay that has pushed the row just now, and would trust the lane with it for minutes, finds that it changed.
pub async fn return_to_relay(connection: &mut PgConnection, id: JobId) -> Result<(), StoreError> {
    sqlx::query!("update jobs set relay_at = greatest(run_at, clock_timestamp()) where id = $1", id.uuid())
        .execute(connection)
        .await?;
    Ok(())
}

/// A tenant whose jobs of a kind wait for room in their lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overflow {
    pub kind: String,
    /// `None` for the platform's own.
    pub tenant: Option<TenantId>,
}

/// Whose jobs wait for room, after a position and at most `limit`; reads one index entry for each, however many wait.
pub async fn overflows(
    connection: &mut PgConnection,
    after: Option<&Overflow>,
    limit: i64,
) -> Result<Vec<Overflow>, StoreError> {
    let (kind, tenant) = match after {
        Some(after) => (after.kind.as_str(), after.tenant.map_or_else(Uuid::nil, TenantId::uuid)),
        None => ("", Uuid::nil()),
    };
    let rows = sqlx::query!(
        r#"with recursive waiting as (
             (select kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') as tenant from jobs
              where parked and (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000')) > ($1, $2)
              order by 1, 2 limit 1)
             union all
             select next.kind, next.tenant from waiting cross join lateral (
               select kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000') as tenant from jobs
               where parked
                 and (kind, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000')) > (waiting.kind, waiting.tenant)
               order by 1, 2 limit 1) next
           )
           select kind as "kind!", tenant as "tenant!" from waiting limit $3"#,
        kind,
        tenant,
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Overflow { kind: row.kind, tenant: (!row.tenant.is_nil()).then(|| TenantId::from_uuid(row.tenant)) })
        .collect())
}

/// The oldest jobs of a tenant that wait for room.
pub async fn parked(connection: &mut PgConnection, overflow: &Overflow, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    let rows = sqlx::query_as!(
        Unparsed,
        "select j.id, j.tenant_id, j.kind, j.key, j.payload, j.subject, j.priority, j.attempt, j.traceparent,
           j.run_at, j.relay_at, (select plan from tenants where tenants.id = j.tenant_id) as plan
         from jobs j
         where j.parked and j.kind = $1 and coalesce(j.tenant_id, '00000000-0000-0000-0000-000000000000') = $2
         order by j.run_at limit $3",
        overflow.kind,
        overflow.tenant.map_or_else(Uuid::nil, TenantId::uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(JobRow::from).collect())
}

/// Unfinished due jobs of a kind: the age of the oldest, in seconds; 0 without any.
pub async fn oldest_age_seconds(connection: &mut PgConnection, kind: &str) -> Result<f64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from clock_timestamp() - (
             select run_at from jobs where kind = $1 and run_at <= now() order by run_at limit 1
           )), 0)::float8 as "age!""#,
        kind
    )
    .fetch_one(connection)
    .await?)
}

/// How late the relay is: the age of the oldest row that it should have looked at, in seconds; 0 without any.
pub async fn lag_seconds(connection: &mut PgConnection) -> Result<f64, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(extract(epoch from clock_timestamp() - (
             select relay_at from jobs where relay_at <= now() order by relay_at limit 1
           )), 0)::float8 as "lag!""#,
    )
    .fetch_one(connection)
    .await?)
}
