//! Extends the leases a worker holds, also while it drains.

use std::time::Duration;

use super::{Held, LaneBackendConfig};
use crate::queue::lanes::Member;

/// Renews three times per lease, so that one lost call does not lose the lease.
const PER_LEASE: u32 = 3;
/// Between two tries while Redis is away: when it is back, expired leases wait half a lease for their renewal.
const RETRY: Duration = Duration::from_millis(250);

pub(super) async fn run(config: LaneBackendConfig, held: Held) {
    let pace = config.lanes.config().lease / PER_LEASE;
    let mut wait = pace;
    loop {
        tokio::time::sleep(wait).await;
        wait = pace;
        let members: Vec<Member> = held.lock().expect("not poisoned").keys().cloned().collect();
        if members.is_empty() {
            continue;
        }
        match config.lanes.renew(config.kind, &members).await {
            Ok(lost) => {
                for member in lost {
                    // Settled meanwhile when it is not there any more.
                    if let Some(token) = held.lock().expect("not poisoned").remove(&member) {
                        tracing::warn!(kind = config.kind, job = %member.job(), "lease lost, its job is cancelled");
                        token.cancel();
                    }
                }
            }
            Err(error) => {
                tracing::warn!(kind = config.kind, %error, "leases could not be renewed, will try again");
                wait = RETRY.min(pace);
            }
        }
    }
}
