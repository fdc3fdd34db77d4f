//! The ledger against a real Postgres: effects once, fences, retries, the relay and a wiped Redis.

use std::{collections::HashSet, time::Duration};

use chrono::Utc;
use jobs::{
    domain::ids::{JobId, TenantId},
    queue::{Lanes, lanes::Settlement, relay},
    store::{Database, Scope, SystemTx, jobs as ledger, outbox::Outbox},
};
use tests::{PrivateRedis, TestDatabase, done, lanes, lanes_on, new_job};
use uuid::Uuid;

const KIND: &str = "retrieve";
const LEASE: Duration = Duration::from_secs(30);

fn row(key: &str) -> ledger::NewJob {
    new_job(KIND, key)
}

async fn insert(database: &Database, jobs: &[ledger::NewJob]) -> HashSet<JobId> {
    let mut tx = SystemTx::begin(database, None).await.unwrap();
    let written = ledger::insert(tx.connection(), jobs.to_vec()).await.unwrap();
    tx.commit().await.unwrap();
    written
}

#[tokio::test]
async fn a_kind_and_key_wait_once() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let (first, second) = (row("a"), row("a"));
    assert_eq!(insert(&database, std::slice::from_ref(&first)).await, HashSet::from([first.id]));
    assert!(insert(&database, &[second]).await.is_empty());
    assert_eq!(test.count("select count(*) from jobs").await, 1);
}

#[tokio::test]
async fn of_two_runs_one_completes() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let job = row("a");
    insert(&database, std::slice::from_ref(&job)).await;
    let complete = async |token| {
        let mut tx = SystemTx::begin(&database, None).await.unwrap();
        let ours = ledger::complete(tx.connection(), done(job.id, token)).await.unwrap();
        tx.commit().await.unwrap();
        ours
    };
    let (one, other) = tokio::join!(complete(1), complete(1));
    assert!(one ^ other, "{one} {other}");
    assert_eq!(test.count("select count(*) from jobs").await, 0);
    assert_eq!(test.count("select count(*) from job_history").await, 1);
}

#[tokio::test]
async fn completions_that_share_a_commit_are_guarded_one_by_one() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let (mine, fenced, gone) = (row("mine"), row("fenced"), row("gone"));
    insert(&database, &[mine.clone(), fenced.clone(), row("waits")]).await;
    let mut tx = SystemTx::begin(&database, None).await.unwrap();
    ledger::take_over(tx.connection(), fenced.id, 7, 1).await.unwrap();
    let after = |job: &ledger::NewJob, key| ledger::NewJob { parent: Some(job.id), ..row(key) };
    let jobs = vec![
        after(&mine, "after mine"),
        after(&mine, "waits"),
        after(&mine, "mine"),
        after(&fenced, "after fenced"),
        after(&gone, "after gone"),
    ];
    let ends = [&mine, &fenced, &gone].map(|job| done(job.id, 6)).to_vec();
    let outbox = Outbox { ends, jobs, ..Outbox::default() };
    let written = outbox.write(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(written.ended, HashSet::from([mine.id]), "not the fenced-off one, nor the one that is gone");
    let next = HashSet::from([outbox.jobs[0].id, outbox.jobs[2].id]);
    assert_eq!(written.jobs, next, "what waits already is not written again, but for the job that ends");
    let left = "select count(*) from jobs where key in ('fenced', 'waits', 'after mine', 'mine')";
    assert_eq!((test.count(left).await, test.count("select count(*) from jobs").await), (4, 4));
}

#[tokio::test]
async fn a_fenced_off_worker_can_neither_complete_retry_nor_bury() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let job = row("a");
    insert(&database, std::slice::from_ref(&job)).await;
    let mut tx = SystemTx::begin(&database, None).await.unwrap();
    let connection = tx.connection();
    assert_eq!(ledger::take_over(connection, job.id, 7, 1).await.unwrap(), Some(1), "the lost run spent an attempt");
    assert_eq!(ledger::take_over(connection, job.id, 7, 1).await.unwrap(), Some(1), "once");
    assert!(!ledger::complete(connection, done(job.id, 6)).await.unwrap());
    assert!(!ledger::retry(connection, job.id, 6, 1, Duration::ZERO, "late").await.unwrap());
    assert!(!ledger::bury(connection, job.id, 6, "late").await.unwrap());
    assert_eq!(ledger::take_over(connection, job.id, 6, 1).await.unwrap(), None);
    assert!(ledger::complete(connection, done(job.id, 7)).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_relay_pushes_what_was_never_dispatched_and_what_is_due_again() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let lanes = lanes(LEASE);
    let kinds = [KIND];
    let later = ledger::NewJob { delay: Duration::from_millis(600), ..row("later") };
    insert(&database, &[later.clone(), row("fresh")]).await;
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 0, "neither is the relay's yet");

    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 1);
    let claimed = lanes.claim(KIND, 10, false).await.unwrap();
    assert_eq!(claimed[0].envelope.as_ref().unwrap().id, later.id);

    sqlx::query("update jobs set relay_at = now() where key = 'fresh'").execute(test.owner().await).await.unwrap();
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 1, "its dispatch was lost");
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 0, "the lane holds it: no storm");

    // Put off again: due for the relay at its time, once.
    let mut tx = SystemTx::begin(&database, None).await.unwrap();
    assert!(
        ledger::retry(tx.connection(), later.id, claimed[0].member.token(), 0, Duration::from_millis(300), "failed")
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    lanes.settle(KIND, &[(Settlement::Finish, claimed[0].member.clone())]).await.unwrap();
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(relay::pass(&database, &lanes, &kinds).await.unwrap(), 1);
    let again = lanes.claim(KIND, 10, false).await.unwrap();
    let again = again.iter().map(|claimed| claimed.envelope.as_ref().unwrap()).find(|job| job.id == later.id).unwrap();
    assert_eq!((again.attempt, again.relayed), (1, true));
}

async fn tenant(test: &TestDatabase) -> TenantId {
    let tenant = TenantId::generate();
    sqlx::query("insert into tenants (id, name, callback_secret) values ($1, 'x', 'whsec_x')")
        .bind(tenant.uuid())
        .execute(test.owner().await)
        .await
        .unwrap();
    tenant
}

async fn relay_all(database: &Database, lanes: &Lanes) {
    while relay::may_have_more(relay::pass(database, lanes, &[KIND]).await.unwrap()) {}
}

#[tokio::test]
async fn an_overflow_waits_in_postgres_and_delays_its_own_tenant_only() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let lanes = lanes(LEASE);
    let (noisy, quiet) = (tenant(&test).await, tenant(&test).await);
    let many = |n: usize, tenant| -> Vec<_> {
        (0..n).map(|n| ledger::NewJob { tenant: Some(tenant), ..row(&format!("{tenant}-{n}")) }).collect()
    };
    insert(&database, &many(3_000, noisy)).await;
    sqlx::query("update jobs set relay_at = now()").execute(test.owner().await).await.unwrap();
    relay_all(&database, &lanes).await;
    assert_eq!(lanes.stats(KIND).await.unwrap().held, 2_000);
    assert_eq!(test.count("select count(*) from jobs where parked").await, 1_000);
    assert_eq!(relay::pass(&database, &lanes, &[KIND]).await.unwrap(), 0, "what waits costs the relay nothing");
    assert_eq!(relay::refill(&database, &lanes, &[KIND], &mut None).await.unwrap(), 0, "there is no room yet");

    insert(&database, &many(1, quiet)).await;
    sqlx::query("update jobs set relay_at = now() where not parked and tenant_id = $1")
        .bind(quiet.uuid())
        .execute(test.owner().await)
        .await
        .unwrap();
    relay_all(&database, &lanes).await;
    assert_eq!(lanes.stats(KIND).await.unwrap().held, 2_001, "another tenant is not behind the overflow");

    let mut finished = 0;
    while finished < 1_200 {
        let claimed = lanes.claim(KIND, 100, false).await.unwrap();
        finished += claimed.len();
        let leases: Vec<_> = claimed.into_iter().map(|claimed| (Settlement::Finish, claimed.member)).collect();
        lanes.settle(KIND, &leases).await.unwrap();
    }
    assert_eq!(relay::refill(&database, &lanes, &[KIND], &mut None).await.unwrap(), 1_000);
    assert_eq!(test.count("select count(*) from jobs where parked").await, 0);
}

#[tokio::test]
async fn hot_queries_use_their_indexes() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    insert(&database, &(0..20_000).map(|n| row(&n.to_string())).collect::<Vec<_>>()).await;
    sqlx::query("analyze jobs").execute(test.owner().await).await.unwrap();
    let mut checked = 0;
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.sqlx")).unwrap() {
        let query: serde_json::Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let text = query["query"].as_str().unwrap();
        let hot = ["relay_at <= now()", "run_at <= now()", "where parked", "delete from jobs", "update jobs"];
        if !hot.iter().any(|part| text.contains(part)) {
            continue;
        }
        let mut connection = test.owner().await.acquire().await.unwrap();
        let parameters = query["describe"]["parameters"]["Left"].as_array().unwrap().len();
        let nulls = if parameters == 0 { String::new() } else { format!("({})", vec!["null"; parameters].join(", ")) };
        for statement in ["set plan_cache_mode = force_generic_plan".to_owned(), format!("prepare checked as {text}")] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
        }
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("explain execute checked{nulls}")))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("Seq Scan on jobs"), "{text}\n{plan}");
        sqlx::raw_sql("deallocate checked").execute(&mut *connection).await.unwrap();
        checked += 1;
    }
    assert!(checked >= 4, "{checked} queries were found");
}

/// The planner mostly sees the table empty, when every index looks as good as another, and none better than no index.
#[tokio::test]
async fn a_job_is_found_by_its_id_however_many_its_tenant_has() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    sqlx::query("analyze jobs").execute(test.owner().await).await.unwrap();
    let mut tx = database.tenant(TenantId::generate()).await.unwrap();
    for statement in [
        "explain update jobs set attempt = 1 where id = '00000000-0000-0000-0000-000000000002' and fence <= 1",
        "explain delete from jobs where id = '00000000-0000-0000-0000-000000000002' and fence <= 1",
    ] {
        let plan: Vec<String> = sqlx::query_scalar(statement).fetch_all(tx.connection()).await.unwrap();
        let walks = plan.iter().any(|line| line.contains("Filter") && line.contains("(id ="));
        assert!(!walks, "{statement}\n{}", plan.join("\n"));
    }
}

#[tokio::test]
async fn a_wiped_redis_is_rebuilt_from_the_ledger() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let redis = PrivateRedis::start().await;
    let lanes = lanes_on(redis.url(), LEASE);
    let kinds = [KIND];
    relay::rebuild_lost(&database, &lanes, &kinds).await.unwrap();
    let jobs: Vec<_> = (0..1_200).map(|n| row(&n.to_string())).collect();
    insert(&database, &jobs).await;
    sqlx::query("update jobs set relay_at = now() + interval '1 hour'").execute(test.owner().await).await.unwrap();
    assert_eq!(relay::rebuild_lost(&database, &lanes, &kinds).await.unwrap(), 0, "nothing was lost");

    redis.flush().await;
    assert_eq!(relay::rebuild_lost(&database, &lanes, &kinds).await.unwrap(), 1_200);
    assert_eq!(lanes.stats(KIND).await.unwrap().held, 1_200);
    assert_eq!(relay::rebuild_lost(&database, &lanes, &kinds).await.unwrap(), 0, "once");
}

#[tokio::test]
async fn a_redis_wiped_while_it_is_rebuilt_is_rebuilt_again() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let redis = PrivateRedis::start().await;
    let lanes = lanes_on(redis.url(), LEASE);
    let jobs: Vec<_> = (0..20_000).map(|n| row(&n.to_string())).collect();
    insert(&database, &jobs).await;
    let wipe = async {
        while lanes.stats(KIND).await.unwrap().held < 500 {}
        redis.flush().await;
    };
    let (rebuilt, ()) = tokio::join!(relay::rebuild_lost(&database, &lanes, &[KIND]), wipe);
    let mut pushed = rebuilt.unwrap();
    // Step by step, as the relay's leader does.
    for _ in 0..20 {
        pushed += relay::rebuild_lost(&database, &lanes, &[KIND]).await.unwrap();
    }
    assert!(pushed > 20_000, "{pushed}: the wipe went unnoticed");
    assert_eq!(relay::rebuild_lost(&database, &lanes, &[KIND]).await.unwrap(), 0, "once more is enough");
}

/// An id made two days ago.
fn long_ago() -> JobId {
    let at = u64::try_from((Utc::now() - chrono::TimeDelta::days(2)).timestamp()).unwrap();
    JobId::from_uuid(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, at, 0)))
}

#[tokio::test]
async fn an_unknown_kind_is_buried_with_its_cause() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    insert(&database, &[ledger::NewJob { kind: "from_the_future", ..row("a") }]).await;
    let lanes = lanes(LEASE);
    let make_due = "update jobs set relay_at = now()";
    sqlx::query(make_due).execute(test.owner().await).await.unwrap();
    relay::pass(&database, &lanes, &[KIND]).await.unwrap();
    assert_eq!(test.count("select count(*) from jobs").await, 1, "a version that knows it may be on its way");

    insert(&database, &[ledger::NewJob { id: long_ago(), kind: "from_the_future", ..row("b") }]).await;
    sqlx::query("delete from jobs where key = 'a'").execute(test.owner().await).await.unwrap();
    sqlx::query(make_due).execute(test.owner().await).await.unwrap();
    relay::pass(&database, &lanes, &[KIND]).await.unwrap();
    let cause: String = sqlx::query_scalar("select cause from dead_jobs").fetch_one(test.owner().await).await.unwrap();
    assert!(cause.contains("from_the_future"), "{cause}");
    assert_eq!(test.count("select count(*) from jobs").await, 0);
}
