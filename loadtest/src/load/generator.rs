//! Sends arrivals when they are due, whatever became of the earlier ones.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::fleet::Fleet;
use super::flight::{Flight, fly};
use super::scenario::Load;
use super::tally::Tally;

/// A load and what it adds up to. A std mutex: nothing is awaited while it is held.
pub(super) struct Generator {
    pub(super) load: Arc<Load>,
    pub(super) fleet: Fleet,
    pub(super) follow: Duration,
    pub(super) max_in_flight: usize,
    pub(super) seed: u64,
    pub(super) tally: Arc<Mutex<Tally>>,
}

impl Generator {
    /// Runs the load from `start`, then waits for what is in flight, each of which has its own time limit.
    pub(super) async fn run(self, start: Instant, stop: CancellationToken) {
        let mut flights = JoinSet::new();
        let load = self.load.clone();
        for due in Arrivals::new(&load.phases, load.arrivals, StdRng::seed_from_u64(self.seed)) {
            let due = start + due;
            if !self.wait_until(due, &mut flights, &stop).await {
                break;
            }
            if flights.len() >= self.max_in_flight {
                self.tally().drop_arrival(due);
                continue;
            }
            self.tally().send(due);
            let (load, sender, follow) = (self.load.clone(), self.fleet.next(), self.follow);
            flights.spawn(async move { fly(&load, sender, due, follow).await });
        }
        self.drain(&mut flights, &stop).await;
    }

    /// Collects finished flights until the arrival is due; false when the run was stopped.
    async fn wait_until(&self, due: Instant, flights: &mut JoinSet<Flight>, stop: &CancellationToken) -> bool {
        loop {
            while let Some(landed) = flights.try_join_next() {
                self.land(landed);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                () = sleep_until(due) => return true,
                Some(landed) = flights.join_next() => self.land(landed),
            }
        }
    }

    async fn drain(&self, flights: &mut JoinSet<Flight>, stop: &CancellationToken) {
        while !flights.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(landed) = flights.join_next() => self.land(landed),
            }
        }
        self.tally().abandon(flights.len() as u64);
        flights.shutdown().await;
    }

    fn land(&self, landed: Result<Flight, tokio::task::JoinError>) {
        match landed {
            Ok(flight) => self.tally().record(&flight),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().expect("no holder panics")
    }
}
