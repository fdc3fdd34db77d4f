//! A claimed job in a worker's hands.

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::queue::{
    envelope::Envelope,
    lanes::{Member, Settlement},
};

/// A claimed job and the lease on it.
pub struct Delivery {
    /// The error of an envelope that cannot be decoded.
    pub envelope: Result<Envelope, String>,
    /// Workers lost while they ran it.
    pub crashes: u32,
    pub lease: Lease,
}

/// How a lease ended, on its way to the driver. Its slot is free when the lane knows.
pub(super) type Ended = (Settlement, Member);

/// The right to run a job for now. Dropped without [`Lease::finish`], it gives the job back at once.
pub struct Lease {
    /// `None` when it has ended.
    member: Option<Member>,
    token: i64,
    lost: CancellationToken,
    ended: mpsc::UnboundedSender<Ended>,
    /// Held by a job whose workers crashed, so that this worker takes no other suspect meanwhile.
    _alone: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(super) fn new(
        member: Member,
        lost: CancellationToken,
        ended: mpsc::UnboundedSender<Ended>,
        alone: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self { token: member.token(), member: Some(member), lost, ended, _alone: alone }
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
        if let Some(member) = self.member.take() {
            // The driver outlives every lease; when the runtime itself is going down, the lease expires.
            let _ = self.ended.send((settlement, member));
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Settlement::Release);
    }
}
