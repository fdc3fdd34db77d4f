//! Jobs per second from claim to finish, with fairness on and no ledger.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt;
use jobs::{domain::ids::TenantId, queue::lanes::Window};
use tokio_util::sync::CancellationToken;

use crate::{
    RUNS,
    cost::{self, RedisCost},
    lanes, median,
    worker::{KIND, SLOTS, job, work},
};

/// A lane takes them all: without the ledger there is nowhere else for a backlog to wait.
const WINDOW: Window = Window { lane: 2_000_000, tenant: 2_000_000 };

struct Case {
    jobs: usize,
    tenants: usize,
    runs: usize,
}

const CASES: [Case; 4] = [
    Case { jobs: 100_000, tenants: 1, runs: RUNS },
    Case { jobs: 100_000, tenants: 50, runs: RUNS },
    Case { jobs: 100_000, tenants: 1_000, runs: RUNS },
    Case { jobs: 1_000_000, tenants: 50, runs: 3 },
];

struct Run {
    rate: f64,
    /// Microseconds of Redis' CPU per job, from claim to finish.
    redis: f64,
    /// The same of the worker.
    worker: f64,
    /// Bytes that Redis uses more than before the jobs were pushed.
    left: f64,
}

/// All cases, or those with so many tenants.
pub async fn run(wanted: Option<usize>) {
    for Case { jobs, tenants, runs } in CASES.into_iter().filter(|case| wanted.is_none_or(|it| it == case.tenants)) {
        let mut results = Vec::new();
        for _ in 0..runs {
            results.push(once(jobs, tenants).await);
        }
        let of = |value: fn(&Run) -> f64| median(results.iter().map(value).collect());
        let rates: Vec<_> = results.iter().map(|run| run.rate.round()).collect();
        println!(
            "no-op, {jobs} jobs queued, {tenants} tenants, {SLOTS} slots: median {:.0} jobs/s of {rates:?}; per job {:.1} µs of Redis, \
             {:.1} µs of the worker; Redis' memory afterwards {:+.2} MB",
            of(|run| run.rate),
            of(|run| run.redis),
            of(|run| run.worker),
            of(|run| run.left) / 1e6,
        );
    }
}

async fn once(jobs: usize, tenants: usize) -> Run {
    let lanes = lanes().with_window(WINDOW);
    let tenants: Vec<TenantId> = (0..tenants).map(|_| TenantId::generate()).collect();
    let empty = RedisCost::now().await;
    for first in (0..jobs).step_by(10_000) {
        let batch: Vec<_> = (first..jobs.min(first + 10_000)).map(|n| job(tenants[n % tenants.len()])).collect();
        lanes.push(KIND, &batch).await.expect("pushed");
    }
    let (before, own) = (RedisCost::now().await, cost::own_cpu());
    let (stop, ran) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let count = {
        let stop = stop.clone();
        move |delivery: jobs::queue::backend::Delivery| {
            let (ran, stop) = (ran.clone(), stop.clone());
            async move {
                delivery.envelope.as_ref().expect("a decodable envelope");
                delivery.lease.finish();
                if ran.fetch_add(1, Ordering::Relaxed) + 1 == jobs {
                    stop.cancel();
                }
            }
            .boxed()
        }
    };
    work(&lanes, KIND, stop, count).await;
    let elapsed = started.elapsed();
    let (after, own) = (RedisCost::now().await, cost::own_cpu() - own);
    // The last settlements are on their way.
    let mut left = lanes.stats(KIND).await.expect("stats").held;
    for _ in 0..100 {
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        left = lanes.stats(KIND).await.expect("stats").held;
    }
    assert_eq!(left, 0, "all jobs are finished");
    let per_job = |seconds: f64| seconds * 1e6 / jobs as f64;
    Run {
        rate: cost::per_second(jobs as f64, elapsed),
        redis: per_job(after.cpu() - before.cpu()),
        worker: per_job(own),
        left: RedisCost::now().await.memory() - empty.memory(),
    }
}
