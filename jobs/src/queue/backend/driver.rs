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
    loop {
        let slot = tokio::select! {
            () = config.stop.cancelled() => return,
            slot = slots.clone().acquire_owned() => slot.expect("never closed"),
        };
        let mut free = with_all_free(slot, &slots);
        let mut alone = config.suspect.clone().try_acquire_owned().ok();
        let claimed = match config.lanes.claim(config.kind, free.num_permits(), alone.is_some()).await {
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
