//! What waits and what is dead, by kind. Counts end at a bound, so that a look at a backlog costs no more than that.

use sqlx::PgConnection;

use super::StoreError;

/// No count goes on beyond this.
pub const MOST: i64 = 100_000;

/// One kind's jobs; a count of [`MOST`] means that many or more.
#[derive(Debug, Clone)]
pub struct Counts {
    pub kind: String,
    pub unfinished: i64,
    /// Of those, the ones that may run now or are running.
    pub due: i64,
    /// Of those, the ones that wait for room in their lane.
    pub parked: i64,
    /// Since when the oldest one is due; 0 without any.
    pub oldest_age_seconds: f64,
    pub dead: i64,
}

/// All unfinished jobs, counted to `most` and no further.
pub async fn unfinished(connection: &mut PgConnection, most: i64) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar!(r#"select count(*) as "count!" from (select from jobs limit $1) c"#, most)
        .fetch_one(connection)
        .await?)
}

/// Counts of the named kinds and of every other kind that has a job, in the order of their names; `only` one of them
/// when it is given.
pub async fn by_kind(
    connection: &mut PgConnection,
    names: &[String],
    only: Option<&str>,
) -> Result<Vec<Counts>, StoreError> {
    // The orders keep each count on its kind's part of an index.
    Ok(sqlx::query_as!(
        Counts,
        r#"with recursive queued as (
             select min(kind) as kind from jobs
             union all
             select (select min(kind) from jobs where kind > queued.kind) from queued where queued.kind is not null
           ), buried as (
             select min(kind) as kind from dead_jobs
             union all
             select (select min(kind) from dead_jobs where kind > buried.kind) from buried where buried.kind is not null
           ), named as (
             select kind from unnest($1::text[]) as kind union select kind from queued union select kind from buried
           )
           select kind as "kind!",
             (select count(*) from (
               select from jobs j where j.kind = named.kind order by j.run_at limit $3) c) as "unfinished!",
             (select count(*) from (
               select from jobs j where j.kind = named.kind and j.run_at <= now() order by j.run_at limit $3) c)
               as "due!",
             (select count(*) from (select from jobs j where j.kind = named.kind and j.parked limit $3) c) as "parked!",
             coalesce(extract(epoch from clock_timestamp() - (
               select j.run_at from jobs j where j.kind = named.kind and j.run_at <= now() order by j.run_at limit 1
             )), 0)::float8 as "oldest_age_seconds!",
             (select count(*) from (
               select from dead_jobs d where d.kind = named.kind order by d.died_at limit $3) c) as "dead!"
           from named where kind is not null and ($2::text is null or kind = $2) order by kind"#,
        names,
        only,
        MOST,
    )
    .fetch_all(connection)
    .await?)
}
