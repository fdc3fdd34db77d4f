//! Many jobs due in the same second: all run, each once, none early, through the real relay and a real lane.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{domain::ids::JobId, queue::backend::Delivery};
use tests::{LaneWorker, RelayLoop, TestDatabase, eventually, lanes};

const KIND: &str = "retrieve";
const JOBS: usize = 20_000;
/// Their owners; the first has half of them, more than its window in the lane.
const TENANTS: i64 = 11;
/// Fewer than the relay can feed, so that the first tenant's window fills and its overflow waits in Postgres.
const SLOTS: usize = 20;
const JOB: Duration = Duration::from_millis(5);
/// From the due time to the last run. The relay fills a tenant's window once per tick of 200 ms, and the slots run 4000
/// jobs a second at best; the rest is room for a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// To the first run: a second, and what a busy machine adds.
const FIRST: TimeDelta = TimeDelta::seconds(3);

#[tokio::test]
async fn twenty_thousand_jobs_due_in_the_same_second_run_once_and_not_early() {
    let test = TestDatabase::create().await;
    let owner = test.owner().await;
    let lanes = lanes(BOUND);
    sqlx::query(
        "insert into tenants (id, name, plan, callback_secret)
         select md5(n::text)::uuid, 'x', 'pro', 'whsec_x' from generate_series(0, $1 - 1) n",
    )
    .bind(TENANTS)
    .execute(owner)
    .await
    .unwrap();
    let ran: Arc<Mutex<HashMap<JobId, Vec<DateTime<Utc>>>>> = Arc::default();
    let seen = ran.clone();
    let worker = LaneWorker::start(&lanes, KIND, SLOTS, move |delivery: Delivery| {
        let seen = seen.clone();
        async move {
            let id = delivery.envelope.as_ref().expect("a decodable envelope").id;
            seen.lock().unwrap().entry(id).or_default().push(Utc::now());
            tokio::time::sleep(JOB).await;
            delivery.lease.finish();
        }
    });
    let relay = RelayLoop::start(test.connect(), lanes.clone(), KIND);

    let due: DateTime<Utc> = Utc::now() + TimeDelta::seconds(3);
    sqlx::query(
        "insert into jobs (id, tenant_id, kind, key, payload, run_at, relay_at)
         select gen_random_uuid(), md5((case when n % 2 = 0 then 0 else n / 2 % ($3 - 1) + 1 end)::text)::uuid,
           $1, n::text, '{}', $2, $2
         from generate_series(1, $4) n",
    )
    .bind(KIND)
    .bind(due)
    .bind(TENANTS)
    .bind(JOBS as i64)
    .execute(owner)
    .await
    .unwrap();
    assert!(Utc::now() < due, "the rows were written before they were due");
    eventually("all have run", BOUND, async || (ran.lock().unwrap().len() == JOBS).then_some(())).await;
    let took = Utc::now() - due;
    relay.stop().await;
    worker.stop().await;
    assert_eq!(lanes.stats(KIND).await.unwrap().held, 0);
    let ran = ran.lock().unwrap();
    // One clock: Postgres runs on this machine.
    let first = ran.values().flatten().min().unwrap();
    assert!(*first >= due, "{first} is before {due}");
    assert!(*first < due + FIRST, "the first ran at {first}, due {due}");
    assert_eq!(ran.values().map(Vec::len).sum::<usize>(), JOBS, "each once");
    println!("{JOBS} jobs ran within {took} of their time");
}
