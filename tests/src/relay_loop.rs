//! The relay of one kind in the test's own process, at the worker's pace.

use std::time::Duration;

use jobs::{
    queue::{Lanes, relay},
    store::Database,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// As in the worker: between two looks at the ledger, and passes of one look.
const TICK: Duration = Duration::from_millis(200);
const PASSES: usize = 20;

/// Ends with the test when it is not stopped before.
pub struct RelayLoop {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RelayLoop {
    pub fn start(database: Database, lanes: Lanes, kind: &'static str) -> Self {
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let mut overflow = None;
            while !stopping.is_cancelled() {
                for _ in 0..PASSES {
                    let read = relay::pass(&database, &lanes, &[kind]).await.expect("a pass");
                    if !relay::may_have_more(read) {
                        break;
                    }
                }
                relay::refill(&database, &lanes, &[kind], &mut overflow).await.expect("a refill");
                tokio::time::sleep(TICK).await;
            }
        });
        Self { stop, task }
    }

    /// Ends after the current look; fails the test when one failed.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.expect("no pass failed");
    }
}

impl Drop for RelayLoop {
    fn drop(&mut self) {
        self.task.abort();
    }
}
