//! Tells the lane how leases ended, many at a time.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::{Held, LaneBackendConfig, lease::Ended};

/// Leases settled in one go at most.
const BATCH: usize = 250;
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(2);

/// Ends when every lease of the worker has ended and is settled.
pub(super) async fn run(config: LaneBackendConfig, held: Held, mut ended: mpsc::UnboundedReceiver<Ended>) {
    let mut batch = Vec::with_capacity(BATCH);
    while ended.recv_many(&mut batch, BATCH).await > 0 {
        let mut slots: Option<OwnedSemaphorePermit> = None;
        let mut settlements = Vec::with_capacity(batch.len());
        {
            let mut held = held.lock().expect("not poisoned");
            for Ended { settlement, member, slot } in batch.drain(..) {
                held.remove(&member);
                settlements.push((settlement, member));
                match &mut slots {
                    Some(slots) => slots.merge(slot),
                    None => slots = Some(slot),
                }
            }
        }
        // Given back together at the end of the turn, so that the driver claims as many at once.
        let _slots = slots;
        let mut backoff = BACKOFF;
        // As long as Redis is away: the slots stay taken, so nothing new is claimed meanwhile.
        loop {
            match config.lanes.settle(config.kind, &settlements).await {
                Ok(0) => break,
                Ok(stale) => {
                    metrics::counter!("metachat_leases_stale_total", "kind" => config.kind).increment(stale as u64);
                    break;
                }
                Err(error) => {
                    tracing::warn!(kind = config.kind, %error, "leases could not be settled, will try again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_CAP);
                }
            }
        }
    }
}
