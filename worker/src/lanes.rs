//! One apalis worker per kind.

use std::{sync::Arc, time::Duration};

use apalis::prelude::{Monitor, ParallelizeExt, WorkerBuilder};
use jobs::{
    kinds::{self, Visitor},
    queue::{
        Intakes, Job, Lanes, Runtime,
        backend::{Delivery, LaneBackend, LaneBackendConfig},
        runner,
        signals::WakeUps,
    },
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::config::Slots;

/// Lanes are looked at this often when no wake-up comes: one lost to a reconnect costs no more.
const POLL: Duration = Duration::from_secs(1);

/// What the workers of all lanes share.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub lanes: Lanes,
    pub wake_ups: WakeUps,
    pub intakes: Intakes,
    pub runtime: Runtime,
    pub slots: Arc<Slots>,
    /// Unique per start of a process: apalis refuses a name that is in use.
    pub name: String,
    pub suspect: Arc<Semaphore>,
    pub stop: CancellationToken,
    pub abandon: CancellationToken,
}

impl Workshop {
    /// A monitor with a worker for every kind; it ends when `stop` is cancelled and running jobs have finished.
    pub fn monitor(self) -> Monitor {
        let mut hiring = Hiring { workshop: self, monitor: Monitor::new() };
        kinds::visit_all(&mut hiring);
        hiring.monitor
    }
}

struct Hiring {
    workshop: Workshop,
    monitor: Monitor,
}

impl Visitor for Hiring {
    fn visit<J: Job>(&mut self) {
        let workshop = self.workshop.clone();
        let slots = workshop.slots.of(J::KIND, J::LANE.slots);
        metrics::gauge!("metachat_lane_slots", "kind" => J::KIND).set(slots as f64);
        runner::count_from_zero::<J>();
        let monitor = std::mem::take(&mut self.monitor);
        self.monitor = monitor.register(move |restart| {
            let backend = LaneBackend::new(LaneBackendConfig {
                lanes: workshop.lanes.clone(),
                kind: J::KIND,
                slots,
                poll: POLL,
                wake: workshop.wake_ups.of(&workshop.lanes, J::KIND),
                intakes: workshop.intakes.clone(),
                suspect: workshop.suspect.clone(),
                stop: workshop.stop.clone(),
                abandon: workshop.abandon.clone(),
            });
            let runtime = workshop.runtime.clone();
            WorkerBuilder::new(format!("{}-{}-{restart}", J::KIND, workshop.name))
                .backend(backend)
                .parallelize(tokio::spawn)
                .build(move |delivery: Delivery| runner::run::<J>(delivery, runtime.clone()))
        });
    }
}
