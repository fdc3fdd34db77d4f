//! Deletes what has served its time, a batch at a time, each along an index.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::{NoContext, Timestamp, Uuid};

use super::StoreError;

/// Deletes saved responses of requests older than `age`.
pub async fn idempotency_keys(connection: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from idempotency_keys where id in (
           select id from idempotency_keys where created_at < now() - make_interval(secs => $1)
           order by created_at limit $2)",
        age.as_secs_f64(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes the pieces of streams whose messages came before `before` and have ended.
pub async fn message_stream(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from message_stream where (message_id, position) in (
           select message_id, position from message_stream s
           where message_id < $1 and not exists (
             select from messages m where m.id = s.message_id and m.created_at < $2 and m.finished_at is null)
           order by message_id, position limit $3)",
        first_id(before),
        before,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes searches asked before `before` that have ended: their answer was given or nobody waits for it any more.
pub async fn searches(connection: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from searches where id in (
           select id from searches where id < $1 and finished_at is not null order by id limit $2)",
        first_id(before),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes replays of dead jobs that ended `age` ago.
pub async fn replays(connection: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from dead_job_replays where id in (
           select id from dead_job_replays
           where finished_at is not null and finished_at < now() - make_interval(secs => $1)
           order by finished_at limit $2)",
        age.as_secs_f64(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes events from before `before`, with the attempts to deliver them.
pub async fn events(connection: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from events where id in (select id from events where id < $1 order by id limit $2)",
        first_id(before),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes attempts to deliver events from before `before`.
pub async fn webhook_attempts(
    connection: &mut PgConnection,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from webhook_attempts where id in (
           select id from webhook_attempts where id < $1 order by id limit $2)",
        first_id(before),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes jobs that died `age` ago and that nobody replayed.
pub async fn dead_jobs(connection: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from dead_jobs where id in (
           select id from dead_jobs where died_at < now() - make_interval(secs => $1) order by died_at, id limit $2)",
        age.as_secs_f64(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes the job history from before a day whose partitions are gone: what is left of it is in the default one.
pub async fn job_history(connection: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from job_history where (id, finished_at) in (
           select id, finished_at from job_history where finished_at < $1 order by finished_at, id limit $2)",
        before,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// As [`job_history`], for the API's log.
pub async fn api_logs(connection: &mut PgConnection, before: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from api_logs where (id, created_at) in (
           select id, created_at from api_logs where created_at < $1 order by created_at, id limit $2)",
        before,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes sessions whose life was over `age` ago.
pub async fn sessions(connection: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from sessions where id in (
           select id from sessions where expires_at < now() - make_interval(secs => $1) order by expires_at limit $2)",
        age.as_secs_f64(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Deletes the counts of attempts to log in of which the last was `age` ago.
pub async fn login_attempts(connection: &mut PgConnection, age: Duration, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from login_attempts where subject in (
           select subject from login_attempts where last_at < now() - make_interval(secs => $1)
           order by last_at limit $2)",
        age.as_secs_f64(),
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Before every UUIDv7 made at or after a time, to the millisecond.
pub(super) fn first_id(at: DateTime<Utc>) -> Uuid {
    let seconds = u64::try_from(at.timestamp()).unwrap_or_default();
    let timestamp = Timestamp::from_unix(NoContext, seconds, at.timestamp_subsec_millis() * 1_000_000);
    let mut bytes = Uuid::new_v7(timestamp).into_bytes();
    bytes[6..].copy_from_slice(&[0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::ids::created_at;

    #[test]
    fn the_first_id_of_a_time_divides_earlier_from_later_ids() {
        let id = Uuid::now_v7();
        let at = created_at(id);
        assert_eq!(created_at(first_id(at)), at);
        assert!(first_id(at) <= id);
        assert!(first_id(at + TimeDelta::milliseconds(1)) > id);
    }
}
