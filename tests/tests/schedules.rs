//! Scheduled jobs: once per period across workers and restarts, and what the first of them do.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Datelike, Months, TimeDelta, Utc};
use jobs::{
    kinds,
    queue::schedule,
    store::{
        Scope, SystemTx,
        partitions::{self, Creation, Parent},
    },
};
use serde_json::json;
use tests::{Stack, TestDatabase, eventually};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);

async fn execute(database: &TestDatabase, statement: &'static str) {
    sqlx::query(statement).execute(database.owner().await).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn registered(database: &TestDatabase) {
    eventually("the schedules are registered and have run", LIMIT, async || {
        let succeeded = "select count(*) from schedules where last_success_at is not null";
        (database.count(succeeded).await == 5).then_some(())
    })
    .await;
}

/// How often each period of a schedule ran to its end, or waits to run.
async fn runs(database: &TestDatabase, kind: &str) -> BTreeMap<DateTime<Utc>, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select key, count(*) from (
           select key, id from job_history where kind = $1 union select key, id from jobs where kind = $1) runs
         group by key",
    )
    .bind(kind)
    .fetch_all(database.owner().await)
    .await
    .unwrap();
    rows.into_iter().map(|(key, count)| (key.parse().expect("a time"), count)).collect()
}

#[tokio::test]
async fn two_workers_run_each_period_at_most_once_whoever_leads() {
    let mut stack = Stack::builder().workers(2).start().await;
    registered(&stack.database).await;
    let every_second =
        "update schedules set every = '1 second', phase = '0', next_at = now() where name = 'purge_expired'";
    for _ in 0..2 {
        execute(&stack.database, every_second).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        let leader = eventually("one leads", LIMIT, async || stack.leaders().await.pop()).await;
        stack.workers.remove(leader).process.kill();
        stack.start_worker().await;
        eventually("another leader makes the schedules what they were", LIMIT, async || {
            (stack.database.count("select count(*) from schedules where every = '1 second'").await == 0).then_some(())
        })
        .await;
    }
    execute(&stack.database, "update schedules set next_at = 'infinity'").await;
    stack.idle(LIMIT).await;
    let runs = runs(&stack.database, "purge_expired").await;
    assert!(runs.len() >= 5, "{runs:?}");
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    stack.finish().await;
}

#[tokio::test]
async fn of_many_tickers_one_takes_a_period() {
    let test = TestDatabase::create().await;
    let (one, other) = (test.connect(), test.connect());
    let schedules = kinds::schedules();
    schedule::register(&one, &schedules).await.unwrap();
    let (first, second) = tokio::join!(schedule::tick(&one, &schedules), schedule::tick(&other, &schedules));
    assert_eq!(first.unwrap() + second.unwrap(), schedules.len());
    assert_eq!(schedule::tick(&one, &schedules).await.unwrap(), 0, "the period is taken");
    schedule::register(&other, &schedules).await.unwrap();
    assert_eq!(schedule::tick(&other, &schedules).await.unwrap(), 0, "a restart changes nothing");
    assert_eq!(test.count("select count(*) from jobs").await, 5);
    let aligned = "select count(*) from schedules where extract(minute from last_period)::int % 5 = 2
        and extract(second from last_period) = 0 and next_at = last_period + every and last_period <= now()";
    assert_eq!(test.count(aligned).await, 5, "periods are aligned to UTC");
}

#[tokio::test]
async fn missed_periods_collapse_into_one_run_of_the_latest() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let schedules = kinds::schedules();
    schedule::register(&database, &schedules).await.unwrap();
    execute(&test, "update schedules set every = '1 second', phase = '0', next_at = now() - interval '1 hour'").await;
    let before = Utc::now() - TimeDelta::seconds(1);
    assert_eq!(schedule::tick(&database, &schedules).await.unwrap(), 5);
    let runs = runs(&test, "maintain_partitions").await;
    assert_eq!(runs.len(), 1);
    assert!(runs.keys().all(|period| *period >= before && *period <= Utc::now()), "{runs:?}");
    assert_eq!(test.count("select count(*) from schedules where next_at = last_period + every").await, 5);

    // A changed period takes effect at the next registration, without a period that was taken; what the code does not
    // know is left alone.
    execute(&test, "insert into schedules (name, every, phase, next_at) values ('newer', '1 s', '0', now())").await;
    schedule::register(&database, &schedules).await.unwrap();
    assert_eq!(schedule::tick(&database, &schedules).await.unwrap(), 0);
    let regular =
        "select count(*) from schedules where every = any('{5 minutes,1 hour,1 day}') and next_at > last_period";
    assert_eq!(test.count(regular).await, 5);
    assert_eq!(test.count("select count(*) from schedules where name = 'newer' and last_period is null").await, 1);
}

#[tokio::test]
async fn partitions_are_made_ahead_and_old_history_is_dropped() {
    let stack = Stack::builder().env("JOB_HISTORY_RETENTION_DAYS", "10").start().await;
    let database = &stack.database;
    registered(database).await;
    let partitions = async || -> Vec<String> {
        sqlx::query_scalar("select relname::text from pg_class where relispartition and relkind = 'r' order by 1")
            .fetch_all(database.owner().await)
            .await
            .unwrap()
    };
    let day = |days: i64| format!("job_history_{}", (Utc::now() + TimeDelta::days(days)).format("%Y_%m_%d"));
    let before = partitions().await;
    let (tenth, eleventh) = (day(-10), day(-11));
    execute(database, "call create_job_history_partitions((now() at time zone 'utc')::date - 12, 12)").await;
    let month = (Utc::now() + TimeDelta::days(200)).format("messages_%Y_%m").to_string();
    for missing in [day(30), month] {
        let drop = format!("drop table {missing}");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(database.owner().await).await.unwrap();
    }
    database.run_schedule("maintain_partitions", LIMIT).await;

    let after = partitions().await;
    assert!(after.contains(&tenth) && !after.contains(&eleventh), "{after:?}");
    let kept = after.iter().filter(|name| !(1..=10).any(|days| **name == day(-days)));
    assert_eq!(kept.collect::<Vec<_>>(), before.iter().collect::<Vec<_>>(), "what was missing is there again");
    stack.finish().await;
}

#[tokio::test]
async fn a_missing_partition_with_rows_is_told_once_an_hour_and_is_no_error() {
    let stack = Stack::start().await;
    let database = &stack.database;
    registered(database).await;
    let ahead = (Utc::now() + TimeDelta::days(20)).format("%Y_%m_%d").to_string();
    let drop = format!("drop table job_history_{ahead}");
    sqlx::query(sqlx::AssertSqlSafe(drop)).execute(database.owner().await).await.unwrap();
    sqlx::query(
        "insert into job_history (id, kind, key, attempt, outcome, created_at, run_at, started_at, finished_at)
         values ($1, 'retrieve', 'k', 1, 'done', now(), now(), now(), $2)",
    )
    .bind(Uuid::now_v7())
    .bind(Utc::now() + TimeDelta::days(20))
    .execute(database.owner().await)
    .await
    .unwrap();
    database.run_schedule("maintain_partitions", LIMIT).await;
    stack.idle(LIMIT).await;
    let log = stack.workers[0].process.log();
    assert!(log.contains("its rows are in the default one"), "{log}");
    let metrics = eventually("the gauge is set", LIMIT, async || {
        let metrics = reqwest::get(format!("{}/metrics", stack.workers[0].probes)).await.ok()?.text().await.ok()?;
        metrics.contains(r#"metachat_default_partition_in_use{table="job_history"} 1"#).then_some(metrics)
    })
    .await;
    assert!(metrics.contains(r#"metachat_default_partition_in_use{table="messages"} 0"#), "{metrics}");
    assert!(metrics.contains(r#"metachat_schedule_period_seconds{schedule="maintain_partitions"} 3600"#), "{metrics}");
    let succeeded = metrics.lines().find_map(|line| {
        line.strip_prefix(r#"metachat_schedule_last_success_seconds{schedule="maintain_partitions"} "#)
    });
    let succeeded: f64 = succeeded.unwrap().parse().unwrap();
    assert!((Utc::now().timestamp() as f64 - succeeded).abs() < 120.0, "{succeeded}");
    stack.finish().await;
}

/// The system role cannot make tables itself, and what it may call drops nothing that is young.
#[tokio::test]
async fn the_system_role_reaches_partitions_through_the_functions_only() {
    let test = TestDatabase::create().await;
    let mut system = test.owner().await.acquire().await.unwrap();
    sqlx::query("set role metachat_system").execute(&mut *system).await.unwrap();
    for refused in [
        "create table public.mine (n integer)",
        "create table public.mine partition of job_history for values from ('2001-01-01') to ('2001-01-02')",
        "drop table job_history_default",
        "select drop_partition('job_history', (now() at time zone 'utc')::date + 1)",
        "select drop_partition('messages', (date_trunc('month', now() at time zone 'utc') + interval '1 month')::date)",
        "select drop_partition('tenants', current_date)",
        "select create_partition('tenants', current_date)",
    ] {
        assert!(sqlx::query(refused).execute(&mut *system).await.is_err(), "{refused}");
    }
    sqlx::query("set role metachat_app").execute(&mut *system).await.unwrap();
    for refused in ["select create_partition('messages', current_date)", "select * from default_partitions_in_use()"] {
        assert!(sqlx::query(refused).execute(&mut *system).await.is_err(), "{refused}");
    }
    sqlx::query("reset role").execute(&mut *system).await.unwrap();
}

/// A reader that does not end must not make others queue behind the creation of a partition.
#[tokio::test]
async fn a_lock_that_is_not_free_is_given_up_at_once() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let month = Utc::now().date_naive().with_day(1).unwrap() + Months::new(3);
    let drop = format!("drop table messages_{}", month.format("%Y_%m"));
    sqlx::query(sqlx::AssertSqlSafe(drop)).execute(test.owner().await).await.unwrap();
    let create = async || {
        let started = Instant::now();
        let mut tx = SystemTx::begin(&database, None).await.unwrap();
        let creation = partitions::create(tx.connection(), Parent::Messages, month).await;
        tx.commit().await.unwrap();
        (creation, started.elapsed())
    };
    let mut reader = test.owner().await.begin().await.unwrap();
    sqlx::query("select count(*) from messages").execute(&mut *reader).await.unwrap();
    let (creation, took) = create().await;
    let error = creation.unwrap_err().to_string();
    assert!(error.contains("lock timeout") && took < Duration::from_secs(2), "{error} after {took:?}");
    reader.rollback().await.unwrap();
    assert_eq!(create().await.0.unwrap(), Creation::Created);
    assert_eq!(create().await.0.unwrap(), Creation::Exists);
}

#[tokio::test]
async fn the_purge_deletes_what_has_served_its_time_and_nothing_else() {
    let stack = Stack::start().await;
    let database = &stack.database;
    registered(database).await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let tenant: jobs::domain::ids::TenantId = tenant.id.parse().unwrap();
    let owner = database.owner().await;
    let id_of = |hours: i64| {
        let at = u64::try_from((Utc::now() - TimeDelta::hours(hours)).timestamp()).unwrap();
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, at, 0))
    };
    // More keys than one batch holds.
    sqlx::query(
        "insert into idempotency_keys (id, tenant_id, audience, key, fingerprint, status, response, created_at)
         select gen_random_uuid(), $1, 'tenant', n::text, '', 202, '{}', now() - case when n <= 2500 then interval '25 h' else interval '23 h' end
         from generate_series(1, 2510) n",
    )
    .bind(tenant.uuid())
    .execute(owner)
    .await
    .unwrap();
    let conversation = Uuid::now_v7();
    sqlx::query("insert into conversations (id, tenant_id) values ($1, $2)")
        .bind(conversation)
        .bind(tenant.uuid())
        .execute(owner)
        .await
        .unwrap();
    let (ended, endless, young) = (id_of(30), id_of(30), id_of(20));
    for (id, hours, finished) in [(ended, 30, true), (endless, 30, false), (young, 20, true)] {
        sqlx::query(
            "insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, status, finished_at)
             values ($1, now() - make_interval(hours => $2), $3, $4, 1, 'customer', 't', 'queued', case when $5 then now() end)",
        )
        .bind(id)
        .bind(hours)
        .bind(tenant.uuid())
        .bind(conversation)
        .bind(finished)
        .execute(owner)
        .await
        .unwrap();
        sqlx::query(
            "insert into message_stream (tenant_id, conversation_id, message_id, position, event, data)
             select $1, $2, $3, n, 'delta', '{}' from generate_series(1, 7) n",
        )
        .bind(tenant.uuid())
        .bind(conversation)
        .bind(id)
        .execute(owner)
        .await
        .unwrap();
    }
    for (id, finished) in [(id_of(30), true), (id_of(30), false), (id_of(20), true)] {
        sqlx::query(
            "insert into searches (id, tenant_id, query, parameters, finished_at)
             values ($1, $2, 'q', $3, case when $4 then now() end)",
        )
        .bind(id)
        .bind(tenant.uuid())
        .bind(json!({}))
        .bind(finished)
        .execute(owner)
        .await
        .unwrap();
    }
    for (state, days) in [("finished", Some(31)), ("cancelled", Some(29)), ("running", None)] {
        sqlx::query(
            "insert into dead_job_replays (id, tenant_id, rate_per_second, state, matched, started_at, finished_at)
             values (gen_random_uuid(), $1, 1, $2, 0, now() - interval '40 days', now() - make_interval(days => $3))",
        )
        .bind(tenant.uuid())
        .bind(state)
        .bind(days)
        .execute(owner)
        .await
        .unwrap();
    }
    let user = Uuid::now_v7();
    sqlx::query("insert into users (id, tenant_id, email, name, role) values ($1, $2, 'a@b', 'n', 'member')")
        .bind(user)
        .bind(tenant.uuid())
        .execute(owner)
        .await
        .unwrap();
    for days in [31, 29] {
        sqlx::query(
            "insert into sessions (id, tenant_id, user_id, token_hash, device_hash, expires_at)
             values (gen_random_uuid(), $1, $2, sha256($3::text::bytea), '', now() - make_interval(days => $3))",
        )
        .bind(tenant.uuid())
        .bind(user)
        .bind(days)
        .execute(owner)
        .await
        .unwrap();
    }
    execute(
        database,
        "insert into login_attempts (subject, attempts, last_at, blocked_until)
         select n::text::bytea, 1, now() - make_interval(hours => n), now() from generate_series(23, 25) n",
    )
    .await;
    database.run_schedule("purge_expired", LIMIT).await;
    stack.idle(LIMIT).await;

    assert_eq!(database.count("select count(*) from sessions").await, 1);
    assert_eq!(database.count("select count(*) from login_attempts where last_at > now() - interval '24 h'").await, 1);
    assert_eq!(database.count("select count(*) from login_attempts").await, 1);
    assert_eq!(database.count("select count(*) from idempotency_keys").await, 10);
    assert_eq!(database.count("select min(key::int)::bigint from idempotency_keys").await, 2501);
    let streams: Vec<Uuid> =
        sqlx::query_scalar("select distinct message_id from message_stream order by 1").fetch_all(owner).await.unwrap();
    assert_eq!(streams, [endless, young], "one has not ended, one is young");
    assert_eq!(database.count("select count(*) from message_stream").await, 14);
    assert_eq!(database.count("select count(*) from searches").await, 2);
    assert_eq!(database.count("select count(*) from searches where finished_at is null").await, 1);
    assert_eq!(database.count("select count(*) from dead_job_replays where state = 'finished'").await, 0);
    assert_eq!(database.count("select count(*) from dead_job_replays").await, 2);
    assert_eq!(database.count("select count(*) from messages").await, 3, "messages stay");
    execute(database, "delete from messages").await;
    stack.finish().await;
}
