//! The lanes' scripts against a real Redis: fairness, caps, fences, crashes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::Utc;
use jobs::{
    domain::{
        ids::{JobId, TenantId},
        plan::Share,
    },
    queue::{
        Dispatcher, Envelope, Intakes, Lanes,
        backend::Delivery,
        lanes::{Claimed, Exchange, Pushed, Settlement},
    },
};
use serde_json::json;
use tests::{LaneWorker, eventually, lanes, setting};
use tokio::sync::mpsc;

const KIND: &str = "retrieve";
/// What runs at once has run by then.
const LIMIT: Duration = Duration::from_secs(10);

fn job(tenant: TenantId, share: Share) -> Envelope {
    Envelope {
        id: JobId::generate(),
        tenant: Some(tenant),
        share,
        priority: 5,
        subject: None,
        payload: json!({}),
        attempt: 0,
        relayed: false,
        due_at: Utc::now(),
        traceparent: None,
    }
}

const FREE: Share = Share { weight: 1, in_flight: 1000 };

async fn push(lanes: &Lanes, jobs: &[Envelope]) {
    assert!(lanes.push(KIND, jobs).await.unwrap().iter().all(|pushed| *pushed == Pushed::Queued));
}

fn id(claimed: &Claimed) -> JobId {
    claimed.envelope.as_ref().unwrap().id
}

async fn finish(lanes: &Lanes, claimed: Vec<Claimed>) -> usize {
    let leases: Vec<_> = claimed.into_iter().map(|claimed| (Settlement::Finish, claimed.member)).collect();
    lanes.settle(KIND, &leases).await.unwrap()
}

#[tokio::test]
async fn under_saturation_throughput_follows_the_weights() {
    let lanes = lanes(Duration::from_secs(30));
    let (light, heavy) = (TenantId::generate(), TenantId::generate());
    for _ in 0..4 {
        push(&lanes, &(0..200).map(|_| job(light, FREE)).collect::<Vec<_>>()).await;
        push(&lanes, &(0..200).map(|_| job(heavy, Share { weight: 3, ..FREE })).collect::<Vec<_>>()).await;
    }
    let mut served: HashMap<TenantId, usize> = HashMap::new();
    for _ in 0..40 {
        let claimed = lanes.claim(KIND, 10, false).await.unwrap();
        for job in &claimed {
            *served.entry(job.envelope.as_ref().unwrap().tenant.unwrap()).or_default() += 1;
        }
        finish(&lanes, claimed).await;
    }
    let (light, heavy) = (served[&light], served[&heavy]);
    assert_eq!(light + heavy, 400);
    assert!((heavy as f64 / light as f64 - 3.0).abs() < 0.3, "{heavy}:{light}");
}

#[tokio::test]
async fn a_tenant_that_comes_late_is_served_next() {
    let lanes = lanes(Duration::from_secs(30));
    let (noisy, small) = (TenantId::generate(), TenantId::generate());
    push(&lanes, &(0..500).map(|_| job(noisy, FREE)).collect::<Vec<_>>()).await;
    for _ in 0..20 {
        let claimed = lanes.claim(KIND, 10, false).await.unwrap();
        finish(&lanes, claimed).await;
    }
    let late = job(small, FREE);
    push(&lanes, std::slice::from_ref(&late)).await;
    let next: Vec<_> = lanes.claim(KIND, 2, false).await.unwrap().iter().map(id).collect();
    assert!(next.contains(&late.id), "the backlog of another tenant went first");
}

#[tokio::test]
async fn a_tenant_stays_below_its_cap_and_others_use_the_rest() {
    let lanes = lanes(Duration::from_secs(30));
    let (capped, other) = (TenantId::generate(), TenantId::generate());
    let share = Share { weight: 100, in_flight: 3 };
    push(&lanes, &(0..20).map(|_| job(capped, share)).collect::<Vec<_>>()).await;
    push(&lanes, &(0..20).map(|_| job(other, FREE)).collect::<Vec<_>>()).await;
    let first = lanes.claim(KIND, 20, false).await.unwrap();
    let of = |claimed: &[Claimed], tenant| {
        claimed.iter().filter(|job| job.envelope.as_ref().unwrap().tenant == Some(tenant)).count()
    };
    assert_eq!((of(&first, capped), of(&first, other)), (3, 17));
    finish(&lanes, first).await;
    let second = lanes.claim(KIND, 20, false).await.unwrap();
    assert_eq!((of(&second, capped), of(&second, other)), (3, 3));
}

#[tokio::test]
async fn a_job_that_is_held_is_not_added_again() {
    let lanes = lanes(Duration::from_secs(30));
    let held = job(TenantId::generate(), FREE);
    for _ in 0..3 {
        push(&lanes, std::slice::from_ref(&held)).await;
    }
    let claimed = lanes.claim(KIND, 10, false).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(lanes.push(KIND, std::slice::from_ref(&held)).await.unwrap(), [Pushed::Running]);
    assert_eq!(finish(&lanes, claimed).await, 0);
    assert!(lanes.claim(KIND, 10, false).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_late_dispatch_does_not_undo_what_the_relay_knows() {
    let lanes = lanes(Duration::from_secs(30));
    let fresh = job(TenantId::generate(), FREE);
    let relayed = Envelope { attempt: 2, relayed: true, ..fresh.clone() };
    for (pushed, attempt) in [(&fresh, 0), (&relayed, 2), (&fresh, 2)] {
        push(&lanes, std::slice::from_ref(pushed)).await;
        let claimed = lanes.claim(KIND, 1, false).await.unwrap();
        assert_eq!(claimed[0].envelope.as_ref().unwrap().attempt, attempt);
        lanes.settle(KIND, &[(Settlement::Release, claimed[0].member.clone())]).await.unwrap();
    }
}

#[tokio::test]
async fn smaller_priorities_go_first_and_a_released_job_keeps_its_place() {
    let lanes = lanes(Duration::from_secs(30));
    let tenant = TenantId::generate();
    let ordinary = [job(tenant, FREE), job(tenant, FREE)];
    let urgent = Envelope { priority: 1, ..job(tenant, FREE) };
    push(&lanes, &ordinary).await;
    push(&lanes, std::slice::from_ref(&urgent)).await;
    let first = lanes.claim(KIND, 2, false).await.unwrap();
    assert_eq!(first.iter().map(id).collect::<Vec<_>>(), [urgent.id, ordinary[0].id]);
    let back = vec![(Settlement::Release, first[1].member.clone())];
    lanes.settle(KIND, &back).await.unwrap();
    let next: Vec<_> = lanes.claim(KIND, 2, false).await.unwrap().iter().map(id).collect();
    assert_eq!(next, [ordinary[0].id, ordinary[1].id]);
}

#[tokio::test]
async fn of_what_waits_for_its_cap_the_urgent_goes_first() {
    let lanes = lanes(Duration::from_secs(30));
    let (tenant, share) = (TenantId::generate(), Share { weight: 1, in_flight: 2 });
    let jobs: Vec<_> = [5, 5, 5, 9, 5, 1, 0].map(|priority| Envelope { priority, ..job(tenant, share) }).into();
    push(&lanes, &jobs).await;
    let mut order = Vec::new();
    loop {
        let claimed = lanes.claim(KIND, 1, false).await.unwrap();
        let Some(first) = claimed.first() else { break };
        order.push(jobs.iter().position(|job| job.id == id(first)).unwrap());
        finish(&lanes, claimed).await;
    }
    // The first two were ready before the urgent ones came; one of these becomes ready as the first finishes.
    assert_eq!(order, [0, 6, 5, 1, 2, 4, 3]);
}

#[tokio::test]
async fn a_late_worker_can_neither_renew_nor_settle() {
    let lanes = lanes(Duration::from_millis(100));
    push(&lanes, &[job(TenantId::generate(), FREE)]).await;
    let late = lanes.claim(KIND, 1, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(150)).await;
    let current = lanes.claim(KIND, 1, false).await.unwrap();
    assert_eq!(current.len(), 1, "the expired lease was reaped");
    assert_eq!(current[0].crashes, 1);
    assert!(current[0].member.token() > late[0].member.token());
    let member = late[0].member.clone();
    assert_eq!(lanes.renew(KIND, std::slice::from_ref(&member)).await.unwrap(), [member]);
    assert_eq!(finish(&lanes, late).await, 1, "counted as stale");
    assert_eq!(lanes.stats(KIND).await.unwrap().held, 1, "the current lease still holds the job");
    assert_eq!(finish(&lanes, current).await, 0);
}

#[tokio::test]
async fn an_outage_that_outlasts_the_leases_loses_none() {
    let lanes = lanes(Duration::from_secs(1));
    push(&lanes, &[job(TenantId::generate(), FREE), job(TenantId::generate(), FREE)]).await;
    let claimed = lanes.claim(KIND, 2, false).await.unwrap();
    // Nobody could reach Redis, and the leases have expired.
    tokio::time::sleep(Duration::from_millis(2_000)).await;
    assert!(lanes.claim(KIND, 2, false).await.unwrap().is_empty(), "their workers may renew them first");
    let alive = claimed[0].member.clone();
    assert!(lanes.renew(KIND, std::slice::from_ref(&alive)).await.unwrap().is_empty());
    tokio::time::sleep(Duration::from_millis(700)).await;
    let again = lanes.claim(KIND, 2, false).await.unwrap();
    assert_eq!(again.iter().map(id).collect::<Vec<_>>(), [id(&claimed[1])], "its worker did not come back");
    assert_eq!(lanes.settle(KIND, &[(Settlement::Finish, alive)]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_capped_tenants_backlog_moves_on_as_its_jobs_finish() {
    let lanes = lanes(Duration::from_secs(30));
    let tenant = TenantId::generate();
    let share = Share { weight: 2, in_flight: 16 };
    let jobs: Vec<_> = (0..300).map(|_| job(tenant, share)).collect();
    push(&lanes, &jobs).await;
    let mut order = Vec::new();
    while order.len() < jobs.len() {
        let claimed = lanes.claim(KIND, 100, false).await.unwrap();
        assert!((1..=16).contains(&claimed.len()), "{} claimed after {}", claimed.len(), order.len());
        order.extend(claimed.iter().map(id));
        finish(&lanes, claimed).await;
    }
    assert_eq!(order, jobs.iter().map(|job| job.id).collect::<Vec<_>>());
}

#[tokio::test]
async fn tenants_that_stay_away_are_forgotten() {
    let lanes = lanes(Duration::from_secs(30));
    // The lane is never empty, and its virtual time runs past everybody's finish.
    let resident = TenantId::generate();
    for _ in 0..20 {
        push(&lanes, &(0..50).map(|_| job(TenantId::generate(), FREE)).collect::<Vec<_>>()).await;
        push(&lanes, &(0..5).map(|_| job(resident, FREE)).collect::<Vec<_>>()).await;
        let claimed = lanes.claim(KIND, 54, false).await.unwrap();
        finish(&lanes, claimed).await;
    }
    for _ in 0..2_000 {
        push(&lanes, &[job(resident, FREE)]).await;
        let claimed = lanes.claim(KIND, 1, false).await.unwrap();
        finish(&lanes, claimed).await;
    }
    let client = redis::Client::open(setting("TEST_REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let records = format!("{}:{{{KIND}}}:tenants", lanes.config().prefix);
    let kept: usize = redis::cmd("HLEN").arg(records).query_async(&mut connection).await.unwrap();
    assert!(kept < 100, "{kept} of 1001 tenants are remembered");
}

#[tokio::test]
async fn a_job_that_crashes_twice_is_quarantined_and_its_neighbours_go_on() {
    let lanes = lanes(Duration::from_millis(50));
    let tenant = TenantId::generate();
    let poison = job(tenant, FREE);
    push(&lanes, std::slice::from_ref(&poison)).await;
    for crashes in 0..2 {
        let claimed = lanes.claim(KIND, 1, false).await.unwrap();
        assert_eq!(claimed[0].crashes, crashes);
        tokio::time::sleep(Duration::from_millis(80)).await;
    }
    let neighbour = job(tenant, FREE);
    push(&lanes, std::slice::from_ref(&neighbour)).await;
    let claimed = lanes.claim(KIND, 10, false).await.unwrap();
    assert_eq!(claimed.iter().map(id).collect::<Vec<_>>(), [neighbour.id]);
    finish(&lanes, claimed).await;
    let suspect = lanes.claim(KIND, 10, true).await.unwrap();
    assert_eq!((id(&suspect[0]), suspect[0].crashes), (poison.id, 2));

    lanes.settle(KIND, &[(Settlement::Release, suspect[0].member.clone())]).await.unwrap();
    assert!(lanes.claim(KIND, 10, false).await.unwrap().is_empty(), "given back, it still meets no neighbour");
    assert_eq!(lanes.claim(KIND, 10, true).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_tenants_window_is_bounded() {
    let lanes = lanes(Duration::from_secs(30));
    let tenant = TenantId::generate();
    let many: Vec<_> = (0..2_100).map(|_| job(tenant, FREE)).collect();
    let pushed = lanes.push(KIND, &many).await.unwrap();
    assert_eq!(pushed.iter().filter(|pushed| **pushed == Pushed::Queued).count(), 2_000);
    assert_eq!(lanes.push(KIND, &[job(TenantId::generate(), FREE)]).await.unwrap(), [Pushed::Queued]);
}

#[tokio::test]
async fn finished_jobs_leave_nothing_behind() {
    let lanes = lanes(Duration::from_secs(30));
    for _ in 0..5 {
        let tenants: Vec<_> = (0..20).map(|_| job(TenantId::generate(), FREE)).collect();
        push(&lanes, &tenants).await;
    }
    loop {
        let claimed = lanes.claim(KIND, 50, false).await.unwrap();
        if claimed.is_empty() {
            break;
        }
        finish(&lanes, claimed).await;
    }
    let client = redis::Client::open(setting("TEST_REDIS_URL")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{}:*", lanes.config().prefix);
    let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    keys.retain(|key| !key.ends_with(":seq") && !key.ends_with(":token"));
    assert!(keys.is_empty(), "{keys:?}");
}

/// What a tenant's finished jobs leave free is there for those that are added by the same call, which takes them in their turn.
#[tokio::test]
async fn one_call_hands_in_adds_and_claims() {
    let lanes = lanes(Duration::from_secs(30));
    let (capped, other) = (TenantId::generate(), TenantId::generate());
    let share = Share { weight: 1, in_flight: 1 };
    let (first, second, third) = (job(capped, share), job(capped, share), job(other, FREE));
    push(&lanes, std::slice::from_ref(&first)).await;
    let claimed = lanes.claim(KIND, 1, false).await.unwrap();

    let ended = [(Settlement::Finish, claimed[0].member.clone())];
    let added = [second.clone(), job(capped, share), third.clone()];
    let exchange = Exchange { ended: &ended, added: &added, wanted: 3, quarantined: false };
    let exchanged = lanes.exchange(KIND, exchange).await.unwrap();

    assert_eq!((exchanged.stale, &exchanged.pushed[..]), (0, &[Pushed::Queued; 3][..]));
    let mut taken: Vec<_> = exchanged.claimed.iter().map(id).collect();
    taken.sort();
    let mut expected = [second.id, third.id];
    expected.sort();
    assert_eq!((taken, exchanged.unclaimed), (expected.to_vec(), 1), "the third of the tenant at its cap waits");
}

/// A process' own jobs reach its worker, one after the other: each is added and taken with the call that hands the last one in, or
/// by one of its own, and the lane hears of every end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_feeds_its_own_worker() {
    const JOBS: usize = 50;
    // What the dispatcher pushes itself goes elsewhere: only the intake leads to the worker.
    let (lanes, pushed) = (lanes(Duration::from_secs(30)), lanes(Duration::from_secs(30)));
    let intakes = Intakes::default();
    let (dispatcher, _) = Dispatcher::start(pushed.clone(), intakes.clone());
    let (ran, mut heard) = mpsc::unbounded_channel();
    let worker = LaneWorker::start_fed(&lanes, intakes, KIND, 4, move |delivery: Delivery| {
        let ran = ran.clone();
        async move {
            ran.send(delivery.envelope.as_ref().unwrap().id).expect("still watched");
            delivery.lease.finish();
        }
    });
    // It takes nothing before it works.
    push(&lanes, &[job(TenantId::generate(), FREE)]).await;
    tokio::time::timeout(LIMIT, heard.recv()).await.expect("the worker works");
    // One at a time has room for no other: what ends is awaited by the next.
    for share in [FREE, Share { weight: 1, in_flight: 1 }] {
        let jobs: Vec<_> = (0..JOBS).map(|_| job(TenantId::from_uuid(uuid::Uuid::nil()), share)).collect();
        let mut expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
        jobs.into_iter().for_each(|job| dispatcher.dispatch(KIND, job));
        let mut ids = Vec::new();
        while ids.len() < JOBS {
            ids.push(tokio::time::timeout(LIMIT, heard.recv()).await.expect("it runs in time").unwrap());
        }
        ids.sort();
        expected.sort();
        assert_eq!(ids, expected);
    }
    eventually("the lane hears of every end", LIMIT, async || {
        (lanes.stats(KIND).await.unwrap().held == 0).then_some(())
    })
    .await;

    // Once it stops, what is written from now on is pushed, for others to take.
    worker.stop().await;
    let late = job(TenantId::generate(), FREE);
    dispatcher.dispatch(KIND, late.clone());
    let claimed = eventually("another claims it", LIMIT, async || {
        pushed.claim(KIND, 1, false).await.unwrap().pop().map(|claimed| id(&claimed))
    });
    assert_eq!(claimed.await, late.id);
}

/// While a job's end is on its way to the lane, the next one arrives: its wake-up comes before the answer that the lane was empty
/// a moment ago, and may not be forgotten over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_wake_up_during_a_call_is_not_lost() {
    let lanes = lanes(Duration::from_secs(30));
    let (ran, mut heard) = mpsc::unbounded_channel();
    // Several slots: the lane always has less than is asked for.
    let worker = LaneWorker::start(&lanes, KIND, 8, move |delivery: Delivery| {
        let ran = ran.clone();
        async move {
            delivery.lease.finish();
            ran.send(()).expect("still watched");
        }
    });
    let tenant = TenantId::generate();
    let mut slowest = Duration::ZERO;
    for round in 0..2_000_u64 {
        let pushed = Instant::now();
        push(&lanes, &[job(tenant, FREE)]).await;
        heard.recv().await.expect("the worker runs");
        slowest = slowest.max(pushed.elapsed());
        // The next push falls on every part of the call that hands the lease in. Timers are too coarse for that.
        let next = Instant::now() + Duration::from_micros(round % 20 * 25);
        while Instant::now() < next {
            tokio::task::yield_now().await;
        }
    }
    worker.stop().await;
    assert!(slowest < Duration::from_millis(700), "{slowest:?}: it waited for the poll, which comes once a second");
}
