//! A tenant with a backlog delays only itself: through the real ledger, relay, lane and backend, with jobs that sleep 2 ms.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::Utc;
use jobs::{
    domain::{
        ids::TenantId,
        plan::{Plan, Share},
    },
    queue::{Envelope, Lanes, backend::Delivery, relay},
    store::{Database, Scope, SystemTx, jobs as ledger},
};
use tests::{LaneWorker, RelayLoop, TestDatabase, done, eventually, lanes, new_job};
use tokio::sync::mpsc;
use uuid::Uuid;

const KIND: &str = "retrieve";
const SLOTS: usize = 10;
const JOB: Duration = Duration::from_millis(2);
const BACKLOG: usize = 100_000;
/// A tenant's window in the lane.
const WINDOW: usize = 2_000;
/// The small tenant's jobs per measurement and their pace: 20 a second instead of one, so that a p99 takes 5 seconds.
const SAMPLES: usize = 100;
const PACE: Duration = Duration::from_millis(50);
/// What the small tenant may wait at the 99th percentile, as a part of the wait behind all that the lane holds of the other
/// tenant, at the rate seen meanwhile (at best 2000 × 2 ms / 10 = 400 ms): a slot comes free after one job and a round trip, so
/// the rest is room for a busy machine.
const PART_OF_THE_WINDOW: u32 = 4;
/// Pages that a look at the ledger may touch; the table has thousands.
const PAGES: i64 = 200;
const LIMIT: Duration = Duration::from_secs(120);

fn job(tenant: TenantId) -> ledger::NewJob {
    ledger::NewJob { tenant: Some(tenant), ..new_job(KIND, &Uuid::now_v7().to_string()) }
}

/// Writes and dispatches jobs one by one; returns their waits from the commit to the start, sorted.
async fn waits(
    database: &Database,
    lanes: &Lanes,
    tenant: TenantId,
    started: &mut mpsc::UnboundedReceiver<Duration>,
) -> Vec<Duration> {
    let mut pace = tokio::time::interval(PACE);
    let mut waits = Vec::new();
    for _ in 0..SAMPLES {
        pace.tick().await;
        let job = job(tenant);
        let mut tx = SystemTx::begin(database, None).await.unwrap();
        ledger::insert(tx.connection(), vec![job.clone()]).await.unwrap();
        tx.commit().await.unwrap();
        lanes.push(KIND, &[Envelope::fresh(job.clone(), Plan::Free.share(), Utc::now())]).await.unwrap();
        waits.push(tokio::time::timeout(LIMIT, started.recv()).await.expect("it starts").expect("the worker runs"));
        let mut tx = SystemTx::begin(database, None).await.unwrap();
        ledger::complete(tx.connection(), done(job.id, i64::MAX)).await.unwrap();
        tx.commit().await.unwrap();
    }
    waits.sort();
    waits
}

/// Pages that the relay's look for due rows touches.
async fn pages_of_a_pass(test: &TestDatabase) -> i64 {
    let look = "explain (analyze, buffers, format json)
        select j.id, j.payload from jobs j where j.relay_at <= now() order by j.relay_at limit 500";
    let plan: serde_json::Value = sqlx::query_scalar(look).fetch_one(test.owner().await).await.unwrap();
    let plan = &plan[0]["Plan"];
    plan["Shared Hit Blocks"].as_i64().unwrap() + plan["Shared Read Blocks"].as_i64().unwrap()
}

#[tokio::test]
async fn a_backlog_of_100_000_delays_no_other_tenant() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let lanes = lanes(LIMIT);
    let (noisy, small) = (TenantId::generate(), TenantId::generate());
    for (tenant, plan) in [(noisy, "pro"), (small, "free")] {
        sqlx::query("insert into tenants (id, name, plan, callback_secret) values ($1, 'x', $2, 'whsec_x')")
            .bind(tenant.uuid())
            .bind(plan)
            .execute(test.owner().await)
            .await
            .unwrap();
    }
    let (sender, mut started) = mpsc::unbounded_channel();
    let noise = Arc::new(AtomicUsize::new(0));
    let heard = noise.clone();
    let run = move |delivery: Delivery| {
        let (sender, heard) = (sender.clone(), heard.clone());
        async move {
            let envelope = delivery.envelope.as_ref().expect("a decodable envelope");
            if envelope.tenant == Some(small) {
                sender.send((Utc::now() - envelope.due_at).to_std().unwrap_or_default()).expect("still measured");
            } else {
                heard.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(JOB).await;
            delivery.lease.finish();
        }
    };
    let worker = LaneWorker::start(&lanes, KIND, SLOTS, run.clone());
    let idle = waits(&database, &lanes, small, &mut started).await[SAMPLES * 99 / 100];
    worker.stop().await;

    sqlx::query(
        "insert into jobs (id, tenant_id, kind, key, payload, run_at, relay_at)
         select gen_random_uuid(), $1, $2, 'noise-' || n, '{}', now(), now() from generate_series(1, $3) n",
    )
    .bind(noisy.uuid())
    .bind(KIND)
    .bind(BACKLOG as i64)
    .execute(test.owner().await)
    .await
    .unwrap();
    sqlx::query("analyze jobs").execute(test.owner().await).await.unwrap();
    for _ in 0..2 * BACKLOG / 500 {
        if !relay::may_have_more(relay::pass(&database, &lanes, &[KIND]).await.unwrap()) {
            break;
        }
    }
    assert_eq!(lanes.stats(KIND).await.unwrap().held, WINDOW, "the lane holds a window of the backlog");
    assert_eq!(test.count("select count(*) from jobs where parked").await, (BACKLOG - WINDOW) as i64);
    // The first look after the rows moved on marks their old places as dead.
    pages_of_a_pass(&test).await;
    let pages = pages_of_a_pass(&test).await;
    assert!(pages <= PAGES, "a look at the ledger touches {pages} pages");

    let relay = RelayLoop::start(database.clone(), lanes.clone(), KIND);
    let worker = LaneWorker::start(&lanes, KIND, SLOTS, run);
    eventually("the backlog runs", LIMIT, async || (noise.load(Ordering::Relaxed) > 1_000).then_some(())).await;
    let before = noise.load(Ordering::Relaxed);
    let begun = Instant::now();
    let busy = waits(&database, &lanes, small, &mut started).await[SAMPLES * 99 / 100];
    let took = begun.elapsed();
    let ran = noise.load(Ordering::Relaxed) - before;
    let held = lanes.stats(KIND).await.unwrap().held;
    let behind_the_window = took.mul_f64(WINDOW as f64 / ran as f64);
    println!(
        "wait p99: idle {idle:?}, beside {ran} jobs in {took:?} {busy:?}, behind the window {behind_the_window:?}; a look at the ledger: {pages} pages"
    );
    assert!(held <= WINDOW + SLOTS + 1, "{held} jobs are in the lane");
    assert!(ran > SAMPLES && before + ran < BACKLOG, "the backlog ran all along: {ran}");
    let bound = (behind_the_window / PART_OF_THE_WINDOW).max(3 * idle);
    assert!(busy <= bound, "p99 {busy:?}, idle {idle:?}, bound {bound:?}");
    relay.stop().await;
    worker.stop().await;
}

#[tokio::test]
async fn under_saturation_the_backend_serves_by_weight() {
    let lanes = lanes(LIMIT);
    let (light, heavy) = (TenantId::generate(), TenantId::generate());
    // Of the first 1600, the heavy one's three quarters are fewer than what it has.
    let (queued, counted) = (1_500, 1_600);
    for (tenant, weight) in [(light, 1), (heavy, 3)] {
        let share = Share { weight, in_flight: 1_000 };
        let jobs: Vec<_> = (0..queued).map(|_| Envelope::fresh(job(tenant), share, Utc::now())).collect();
        lanes.push(KIND, &jobs).await.unwrap();
    }
    let (sender, mut served) = mpsc::unbounded_channel();
    let worker = LaneWorker::start(&lanes, KIND, SLOTS, move |delivery: Delivery| {
        let sender = sender.clone();
        async move {
            let tenant = delivery.envelope.as_ref().expect("a decodable envelope").tenant;
            // The jobs beyond those that are counted have no listener.
            let _ = sender.send(tenant);
            tokio::time::sleep(JOB).await;
            delivery.lease.finish();
        }
    });
    let mut of_heavy = 0;
    for _ in 0..counted {
        let tenant = tokio::time::timeout(LIMIT, served.recv()).await.expect("it runs").expect("the worker runs");
        of_heavy += u32::from(tenant == Some(heavy));
    }
    let ratio = f64::from(of_heavy) / f64::from(counted - of_heavy);
    assert!((2.7..=3.3).contains(&ratio), "served {ratio:.2}:1");
    worker.stop().await;
}
