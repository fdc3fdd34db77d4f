//! A lane as an apalis [`Backend`].
//!
//! Two tasks stand behind it: the driver tells the lane how leases ended, adds the jobs that this process wrote and claims as many
//! as there are free slots, the renewer extends the leases held. A slot comes back only when the end of its lease is stored, which is the
//! back-pressure while Redis is away. Redis errors are retried inside and never end a worker.

mod driver;
mod lease;
mod renewer;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral, future::BoxSyncFuture},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures::FutureExt;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::layer::util::Identity;

pub use lease::{Delivery, Lease};

use super::{
    dispatch::Intakes,
    lanes::{Lanes, Member},
};

/// Longest wait for the settlements of a closing worker.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// What a worker of one lane is made from.
#[derive(Clone)]
pub struct LaneBackendConfig {
    pub lanes: Lanes,
    pub kind: &'static str,
    /// Jobs run at once.
    pub slots: usize,
    /// Looked at when no wake-up came for so long.
    pub poll: Duration,
    /// Signalled when the lane has something to claim.
    pub wake: Arc<Notify>,
    /// Where this process leaves the lane's jobs that it writes itself.
    pub intakes: Intakes,
    /// One permit, shared by all lanes of the process: a job whose workers crashed twice runs while no other such job
    /// does, so that the one that kills its process is told from those that were only near.
    pub suspect: Arc<Semaphore>,
    /// Ends claiming; jobs claimed and not begun go back at once.
    pub stop: CancellationToken,
    /// Ends running jobs: they are cancelled and go back at once.
    pub abandon: CancellationToken,
}

/// Leases held by this worker, by member, each with the token that tells its job that it is lost.
type Held = Arc<Mutex<HashMap<Member, CancellationToken>>>;

/// The worker's end of a lane.
pub struct LaneBackend {
    config: LaneBackendConfig,
    running: Option<Running>,
    closing: Option<BoxSyncFuture<()>>,
}

struct Running {
    deliveries: mpsc::Receiver<Delivery>,
    driver: JoinHandle<()>,
    renewer: JoinHandle<()>,
}

impl LaneBackend {
    pub fn new(config: LaneBackendConfig) -> Self {
        Self { config, running: None, closing: None }
    }

    fn start(config: &LaneBackendConfig) -> Running {
        let held = Held::default();
        let (sender, deliveries) = mpsc::channel(config.slots);
        let renewer = tokio::spawn(renewer::run(config.clone(), held.clone()));
        let driver = tokio::spawn(driver::run(config.clone(), held, sender));
        Running { deliveries, driver, renewer }
    }
}

impl Backend for LaneBackend {
    type Task = Task<Delivery>;
    type Error = std::convert::Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        if self.running.is_none() && self.closing.is_none() {
            self.running = Some(Self::start(&self.config));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        let Some(running) = &mut self.running else {
            return Poll::Ready(None);
        };
        running.deliveries.poll_recv(context).map(|delivery| {
            delivery.map(|delivery| {
                let id = delivery.envelope.as_ref().map_or_else(|_| String::new(), |envelope| envelope.id.to_string());
                Ok(TaskBuilder::new(delivery).task_id(TaskId::from_string(id)).build())
            })
        })
    }

    fn poll_close(&mut self, context: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Self::Error>> {
        if let Some(running) = self.running.take() {
            let stop = self.config.stop.clone();
            self.closing = Some(BoxSyncFuture::new(close(running, stop).boxed()));
        }
        match &mut self.closing {
            Some(closing) => closing.poll_unpin(context).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Stops claiming, gives back what was not begun, and waits until the lane knows of every settlement.
async fn close(running: Running, stop: CancellationToken) {
    stop.cancel();
    let Running { deliveries, driver, renewer } = running;
    // What was claimed and not begun goes back; the driver ends when the last lease has ended and is settled.
    drop(deliveries);
    if tokio::time::timeout(FLUSH_TIMEOUT, driver).await.is_err() {
        tracing::warn!("leases were left to expire");
    }
    renewer.abort();
}

impl BackendConfig for LaneBackend {
    type Args = Delivery;
    type Id = String;
    /// Not `Durable`: that makes an undecodable job fatal to the worker.
    type Kind = Ephemeral;
    type Config = LaneBackendConfig;
    type Layer = Identity;

    fn config(&self) -> &LaneBackendConfig {
        &self.config
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
