//! A lane's worker whose jobs are as cheap as can be.

use std::{sync::Arc, time::Duration};

use apalis_core::worker::{builder::WorkerBuilder, ext::parallelize::ParallelizeExt};
use chrono::Utc;
use futures::future::BoxFuture;
use jobs::{
    domain::{
        ids::{JobId, TenantId},
        plan::Share,
    },
    queue::{
        Envelope, Intakes, Lanes,
        backend::{Delivery, LaneBackend, LaneBackendConfig},
        signals::WakeUps,
    },
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The lane that is measured.
pub const KIND: &str = "retrieve";
/// Jobs run at once.
pub const SLOTS: usize = 100;

/// A job that carries nothing.
pub fn job(tenant: TenantId) -> Envelope {
    Envelope {
        id: JobId::generate(),
        tenant: Some(tenant),
        share: Share { weight: 1, in_flight: 64 },
        priority: 5,
        subject: None,
        payload: serde_json::json!({}),
        attempt: 0,
        relayed: false,
        due_at: Utc::now(),
        traceparent: None,
    }
}

/// Runs a worker of one lane until `stop` is cancelled.
pub async fn work(
    lanes: &Lanes,
    kind: &'static str,
    stop: CancellationToken,
    run: impl Fn(Delivery) -> BoxFuture<'static, ()> + Clone + Send + Sync + 'static,
) {
    let (wake_ups, listening) = WakeUps::start(lanes, &[kind]);
    let backend = LaneBackend::new(LaneBackendConfig {
        lanes: lanes.clone(),
        kind,
        slots: SLOTS,
        poll: Duration::from_secs(1),
        wake: wake_ups.of(lanes, kind),
        intakes: Intakes::default(),
        suspect: Arc::new(Semaphore::new(1)),
        stop: stop.clone(),
        abandon: CancellationToken::new(),
    });
    let worker =
        WorkerBuilder::new(format!("bench-{}", Uuid::now_v7())).backend(backend).parallelize(tokio::spawn).build(run);
    tokio::select! {
        ended = worker.run() => ended.expect("the worker ends well"),
        () = stop.cancelled() => {}
    }
    listening.abort();
}
