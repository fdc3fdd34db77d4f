//! The time from push to start at 100 jobs per second.

use std::time::Duration;

use chrono::Utc;
use futures::FutureExt;
use jobs::{domain::ids::TenantId, queue::backend::Delivery};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    RUNS, lanes, median,
    worker::{KIND, job, work},
};

/// Jobs of one run.
const STARTS: usize = 1_000;

pub async fn run() {
    let mut halves = Vec::new();
    let mut tails = Vec::new();
    for _ in 0..RUNS {
        let mut waits = once().await;
        waits.sort();
        halves.push(waits[STARTS / 2].as_secs_f64() * 1e3);
        tails.push(waits[STARTS * 99 / 100].as_secs_f64() * 1e3);
    }
    println!(
        "push to start at 100/s: median p50 {:.2} ms, p99 {:.2} ms of {RUNS} runs with {STARTS} jobs (p50 {halves:.2?}, p99 {tails:.2?})",
        median(halves.clone()),
        median(tails.clone()),
    );
}

async fn once() -> Vec<Duration> {
    let lanes = lanes();
    let (sender, mut waits) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let note = move |delivery: Delivery| {
        let due_at = delivery.envelope.as_ref().expect("a decodable envelope").due_at;
        sender.send((Utc::now() - due_at).to_std().unwrap_or_default()).expect("still measured");
        delivery.lease.finish();
        async {}.boxed()
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
    let (seen, ()) = tokio::join!(pushing, work(&lanes, KIND, stop.clone(), note));
    seen
}
