//! The worker of one lane in the test's own process: the real backend under the real apalis worker.

use std::{future::Future, sync::Arc, time::Duration};

use apalis::prelude::{Monitor, ParallelizeExt, WorkerBuilder};
use jobs::queue::{
    Intakes, Lanes,
    backend::{Delivery, LaneBackend, LaneBackendConfig},
    signals::WakeUps,
};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// As in the worker: the fallback when no wake-up comes.
const POLL: Duration = Duration::from_secs(1);
/// A worker whose jobs take milliseconds has drained within this.
const DRAIN: Duration = Duration::from_secs(10);

/// Ends with the test when it is not stopped before.
pub struct LaneWorker {
    stop: CancellationToken,
    worker: JoinHandle<()>,
    listening: JoinHandle<()>,
}

impl LaneWorker {
    /// Hands what the lane holds to `run`, at most `slots` jobs at once.
    pub fn start<F, R>(lanes: &Lanes, kind: &'static str, slots: usize, run: F) -> Self
    where
        F: Fn(Delivery) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Self::start_fed(lanes, Intakes::default(), kind, slots, run)
    }

    /// As [`LaneWorker::start`], in a process whose dispatcher leaves the lane's jobs at these intakes.
    pub fn start_fed<F, R>(lanes: &Lanes, intakes: Intakes, kind: &'static str, slots: usize, run: F) -> Self
    where
        F: Fn(Delivery) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let (wake_ups, listening) = WakeUps::start(lanes, &[kind]);
        let config = LaneBackendConfig {
            lanes: lanes.clone(),
            kind,
            slots,
            poll: POLL,
            wake: wake_ups.of(lanes, kind),
            intakes,
            suspect: Arc::new(Semaphore::new(1)),
            stop: stop.clone(),
            abandon: CancellationToken::new(),
        };
        let monitor = Monitor::new().register(move |_| {
            WorkerBuilder::new(format!("test-{}", Uuid::now_v7()))
                .backend(LaneBackend::new(config.clone()))
                .parallelize(tokio::spawn)
                .build(run.clone())
        });
        let stopping = stop.clone();
        let worker = tokio::spawn(async move {
            let stopped = async move {
                stopping.cancelled().await;
                Ok(())
            };
            monitor.run_with_signal(stopped).await.expect("the worker ends well");
        });
        Self { stop, worker, listening }
    }

    /// Stops claiming and waits for what runs.
    pub async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(DRAIN, &mut self.worker).await.expect("the worker drains").expect("the worker ends well");
    }
}

impl Drop for LaneWorker {
    fn drop(&mut self) {
        self.stop.cancel();
        self.worker.abort();
        self.listening.abort();
    }
}
