//! How far each schedule has come.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::StoreError;

/// Adds a schedule, due at once; one whose period has changed is due when the next of the new periods begins, so that
/// none is taken that lies before the last one.
pub async fn register(
    connection: &mut PgConnection,
    name: &str,
    every: Duration,
    phase: Duration,
) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into schedules as s (name, every, phase, next_at)
         values ($1, make_interval(secs => $2), make_interval(secs => $3), now())
         on conflict (name) do update set every = excluded.every, phase = excluded.phase,
           next_at = date_bin(excluded.every, now(), 'epoch'::timestamptz + excluded.phase) + excluded.every
         where (s.every, s.phase) <> (excluded.every, excluded.phase)",
        name,
        every.as_secs_f64(),
        phase.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A schedule whose period has begun.
#[derive(Debug, Clone)]
pub struct Due {
    pub name: String,
    /// Start of the latest period.
    pub period: DateTime<Utc>,
}

/// Takes those of the named schedules that are due, for the latest period of each, and moves them on. Of two that take
/// at the same time, one gets it.
pub async fn take_due(connection: &mut PgConnection, names: &[String]) -> Result<Vec<Due>, StoreError> {
    Ok(sqlx::query_as!(
        Due,
        r#"update schedules set
             last_period = date_bin(every, now(), 'epoch'::timestamptz + phase),
             next_at = date_bin(every, now(), 'epoch'::timestamptz + phase) + every
           where name = any($1) and next_at <= now()
           returning name, last_period as "period!""#,
        names
    )
    .fetch_all(connection)
    .await?)
}

/// Notes that a schedule's job did all that was due.
pub async fn succeeded(connection: &mut PgConnection, name: &str) -> Result<(), StoreError> {
    sqlx::query!("update schedules set last_success_at = clock_timestamp() where name = $1", name)
        .execute(connection)
        .await?;
    Ok(())
}

/// A schedule as its metrics show it.
#[derive(Debug, Clone)]
pub struct Standing {
    pub name: String,
    pub every_seconds: f64,
    /// Unix time of the last success; before the first one, of when the schedule was added.
    pub last_success: f64,
}

/// All schedules.
pub async fn standings(connection: &mut PgConnection) -> Result<Vec<Standing>, StoreError> {
    Ok(sqlx::query_as!(
        Standing,
        r#"select name, extract(epoch from every)::float8 as "every_seconds!",
             extract(epoch from coalesce(last_success_at, registered_at))::float8 as "last_success!"
           from schedules"#
    )
    .fetch_all(connection)
    .await?)
}
