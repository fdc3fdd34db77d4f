//! Claims jobs for the free slots of a worker.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Held, LaneBackendConfig,
    lease::{Delivery, Ended, Lease},
};
use crate::queue::lanes::Claimed;

/// Waits between tries while Redis is away.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// How long a worker whose lane has more than it can take waits for a quarter of its slots to be free: quick jobs are
/// claimed many at a time, slow ones lose a millisecond.
const GATHER: Duration = Duration::from_millis(1);
/// Crashes from which on a job is a suspect.
const SUSPECT: u32 = 2;

pub(super) async fn run(
    config: LaneBackendConfig,
    slots: Arc<Semaphore>,
    held: Held,
    settlements: mpsc::UnboundedSender<Ended>,
    deliveries: mpsc::Sender<Delivery>,
) {
    let mut backoff = BACKOFF;
    let mut saturated = false;
    loop {
        let slot = tokio::select! {
            () = config.stop.cancelled() => return,
            slot = some_free(&slots, if saturated { config.slots / 4 } else { 1 }) => slot,
        };
        let mut free = with_all_free(slot, &slots);
        let asked = free.num_permits();
        let mut alone = config.suspect.clone().try_acquire_owned().ok();
        let claimed = match config.lanes.claim(config.kind, asked, alone.is_some()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                drop((free, alone));
                tracing::warn!(kind = config.kind, %error, "claim failed, will try again");
                pause(&config, backoff).await;
                backoff = (backoff * 2).min(BACKOFF_CAP);
                continue;
            }
        };
        backoff = BACKOFF;
        let none = claimed.is_empty();
        saturated = claimed.len() == asked;
        metrics::counter!("metachat_claims_total", "kind" => config.kind).increment(claimed.len() as u64);
        for job in claimed {
            let lost = config.abandon.child_token();
            let delivery = delivery(job, lost, &mut free, &held, &settlements, &mut alone);
            // Never waits: there are as many places as slots. Dropping a delivery releases its lease.
            if config.stop.is_cancelled() || deliveries.try_send(delivery).is_err() {
                tracing::debug!(kind = config.kind, "claimed while closing, released");
            }
        }
        drop((free, alone));
        if none {
            tokio::select! {
                () = config.stop.cancelled() => return,
                () = config.wake.notified() => {}
                () = tokio::time::sleep(config.poll) => {}
            }
        }
    }
}

/// Waits for a free slot, and a moment longer for several.
async fn some_free(slots: &Arc<Semaphore>, several: usize) -> OwnedSemaphorePermit {
    let several = u32::try_from(several).unwrap_or(u32::MAX).max(1);
    match tokio::time::timeout(GATHER, slots.clone().acquire_many_owned(several)).await {
        Ok(permits) => permits.expect("never closed"),
        Err(_) => slots.clone().acquire_owned().await.expect("never closed"),
    }
}

fn with_all_free(mut slot: OwnedSemaphorePermit, slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let more = u32::try_from(slots.available_permits()).unwrap_or(u32::MAX);
    if more > 0
        && let Ok(permits) = slots.clone().try_acquire_many_owned(more)
    {
        slot.merge(permits);
    }
    slot
}

fn delivery(
    job: Claimed,
    lost: CancellationToken,
    free: &mut OwnedSemaphorePermit,
    held: &Held,
    settlements: &mpsc::UnboundedSender<Ended>,
    alone: &mut Option<OwnedSemaphorePermit>,
) -> Delivery {
    let slot = free.split(1).expect("no more jobs are claimed than slots are free");
    held.lock().expect("not poisoned").insert(job.member.clone(), lost.clone());
    let alone = if job.crashes >= SUSPECT { alone.take() } else { None };
    let lease = Lease::new(job.member, job.token, lost, settlements.clone(), slot, alone);
    Delivery { envelope: job.envelope, crashes: job.crashes, lease }
}

async fn pause(config: &LaneBackendConfig, backoff: Duration) {
    tokio::select! {
        () = config.stop.cancelled() => {}
        () = tokio::time::sleep(backoff) => {}
    }
}
