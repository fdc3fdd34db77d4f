//! What a lane carries, without the ledger: `REDIS_URL=redis://… cargo bench -p jobs --bench lanes`.
//!
//! Prints jobs per second from claim to finish at 100 slots, with one tenant and with a thousand, and the time from
//! push to start at 100 jobs per second. The Redis should be otherwise idle; every run uses a prefix of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis_core::worker::{builder::WorkerBuilder, ext::parallelize::ParallelizeExt};
use chrono::Utc;
use jobs::{
    domain::{
        ids::{JobId, TenantId},
        plan::Share,
    },
    queue::{
        Envelope, Lanes, LanesConfig,
        backend::{Delivery, LaneBackend, LaneBackendConfig},
        signals::WakeUps,
    },
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const KIND: &str = "retrieve";
const SLOTS: usize = 100;
const RUNS: usize = 5;
/// Jobs of one throughput run; a tenant's window holds 2 000.
const JOBS: usize = 100_000;
const TENANTS: [usize; 2] = [50, 1_000];
const STARTS: usize = 1_000;

#[tokio::main]
async fn main() {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL names the Redis to measure");
    for tenants in TENANTS {
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            rates.push(throughput(&lanes(&url), tenants).await);
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "no-op, {JOBS} jobs of {tenants} tenants, {SLOTS} slots: median {:.0} jobs/s of {rates:.0?}",
            rates[RUNS / 2]
        );
    }
    let mut waits = starts(&lanes(&url)).await;
    waits.sort();
    println!("push to start at 100/s: p50 {:?}, p99 {:?}", waits[STARTS / 2], waits[STARTS * 99 / 100]);
}

fn lanes(url: &str) -> Lanes {
    let prefix = format!("bench-{}", Uuid::now_v7().simple());
    Lanes::connect(LanesConfig { url: url.to_owned(), prefix, lease: Duration::from_secs(15) }).expect("a usable URL")
}

fn job(tenant: TenantId) -> Envelope {
    Envelope {
        id: JobId::generate(),
        tenant: Some(tenant),
        share: Share { weight: 1, in_flight: 1_000 },
        priority: 5,
        subject: None,
        payload: serde_json::json!({}),
        attempt: 0,
        relayed: false,
        due_at: Utc::now(),
        traceparent: None,
    }
}

/// Runs a worker whose jobs do nothing but call `ran` until `stop` is cancelled.
async fn work(lanes: &Lanes, stop: CancellationToken, ran: impl Fn(&Envelope) + Clone + Send + Sync + 'static) {
    let (wake_ups, listening) = WakeUps::start(lanes, &[KIND]);
    let backend = LaneBackend::new(LaneBackendConfig {
        lanes: lanes.clone(),
        kind: KIND,
        slots: SLOTS,
        poll: Duration::from_secs(1),
        wake: wake_ups.of(lanes, KIND),
        suspect: Arc::new(Semaphore::new(1)),
        stop: stop.clone(),
        abandon: CancellationToken::new(),
    });
    let worker = WorkerBuilder::new(format!("bench-{}", Uuid::now_v7()))
        .backend(backend)
        .parallelize(tokio::spawn)
        .build(move |delivery: Delivery| {
            let ran = ran.clone();
            async move {
                ran(delivery.envelope.as_ref().expect("a decodable envelope"));
                delivery.lease.finish();
            }
        });
    tokio::select! {
        ended = worker.run() => ended.expect("the worker ends well"),
        () = stop.cancelled() => {}
    }
    listening.abort();
}

async fn throughput(lanes: &Lanes, tenants: usize) -> f64 {
    let tenants: Vec<TenantId> = (0..tenants).map(|_| TenantId::generate()).collect();
    let jobs: Vec<Envelope> = (0..JOBS).map(|n| job(tenants[n % tenants.len()])).collect();
    lanes.push(KIND, &jobs).await.expect("pushed");
    let (stop, ran) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let finished = {
        let stop = stop.clone();
        let ran = ran.clone();
        move |_: &Envelope| {
            if ran.fetch_add(1, Ordering::Relaxed) + 1 == JOBS {
                stop.cancel();
            }
        }
    };
    work(lanes, stop, finished).await;
    JOBS as f64 / started.elapsed().as_secs_f64()
}

async fn starts(lanes: &Lanes) -> Vec<Duration> {
    let (sender, mut waits) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let ran = move |envelope: &Envelope| {
        let waited = (Utc::now() - envelope.due_at).to_std().unwrap_or_default();
        sender.send(waited).expect("still measured");
    };
    let tenant = TenantId::generate();
    let pushing = async {
        let mut pace = tokio::time::interval(Duration::from_millis(10));
        let mut seen = Vec::with_capacity(STARTS);
        while seen.len() < STARTS {
            pace.tick().await;
            lanes.push(KIND, &[job(tenant)]).await.expect("pushed");
            seen.push(waits.recv().await.expect("the worker runs"));
        }
        stop.cancel();
        seen
    };
    let (seen, ()) = tokio::join!(pushing, work(lanes, stop.clone(), ran));
    seen
}
