//! A claimed job in a worker's hands.

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::queue::{envelope::Envelope, lanes::Settlement};

/// A claimed job and the lease on it.
pub struct Delivery {
    /// The error of an envelope that cannot be decoded.
    pub envelope: Result<Envelope, String>,
    /// Workers lost while they ran it.
    pub crashes: u32,
    pub lease: Lease,
}

/// How a lease ended, on its way to the settler. Carries the slot, which is free when the lane knows.
pub(super) struct Ended {
    pub settlement: Settlement,
    pub member: String,
    pub slot: OwnedSemaphorePermit,
}

/// The right to run a job for now. Dropped without [`Lease::finish`], it gives the job back at once.
pub struct Lease {
    member: String,
    token: i64,
    lost: CancellationToken,
    settlements: mpsc::UnboundedSender<Ended>,
    slot: Option<OwnedSemaphorePermit>,
    /// Held by a job whose workers crashed, so that this worker takes no other suspect meanwhile.
    _alone: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn new(
        member: String,
        token: i64,
        lost: CancellationToken,
        settlements: mpsc::UnboundedSender<Ended>,
        slot: OwnedSemaphorePermit,
        alone: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { member, token, lost, settlements, slot: Some(slot), _alone: alone }
    }

    /// The fencing token: grows with every claim.
    pub fn token(&self) -> i64 {
        self.token
    }

    /// Cancelled when the lease is lost to another worker.
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Takes the job out of the lane: the ledger knows what became of it.
    pub fn finish(mut self) {
        self.end(Settlement::Finish);
    }

    fn end(&mut self, settlement: Settlement) {
        if let Some(slot) = self.slot.take() {
            // The settler outlives every lease; when the runtime itself is going down, the lease expires.
            let _ = self.settlements.send(Ended { settlement, member: std::mem::take(&mut self.member), slot });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Settlement::Release);
    }
}
