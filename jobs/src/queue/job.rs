//! What a kind of job decides for itself.

use std::{future::Future, time::Duration};

use rand::Rng;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    context::{Completion, JobContext},
    envelope::Envelope,
    outcome::{Done, Failure},
};
use crate::{
    domain::ids::TenantId,
    store::{Scope, StoreError},
};

/// A kind of job: its payload, its policy and its work. No defaults, so that a forgotten decision does not
/// compile.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Transaction its effect commits in.
    type Scope: Scope;

    /// Wire name. A string that outlives the Rust type: jobs already written survive a rename of the type.
    const KIND: &'static str;
    const LANE: Lane;
    const RETRY: RetryPolicy;
    /// Longest run; a longer one is cancelled and tried again.
    const TIMEOUT: Duration;

    /// Whose job it is; `None` for the platform's own.
    fn tenant(&self) -> Option<TenantId>;

    /// Unique among the unfinished jobs of the kind.
    fn key(&self) -> String;

    /// The message, document … it works on; puts it on that thing's timeline.
    fn subject(&self) -> Option<Uuid>;

    /// Does the work and commits its effect through [`JobContext::finish`].
    fn run(&self, context: &JobContext) -> impl Future<Output = Result<Done, Failure>> + Send;

    /// Adds what giving up means to the transaction that moves the job to the dead letters. Told by the envelope, not
    /// by `self`: the payload may be what could not be read, and what waits for the job must end all the same.
    fn give_up(
        burial: &mut Completion<Self::Scope>,
        envelope: &Envelope,
        cause: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A kind's place on the wire.
#[derive(Debug, Clone, Copy)]
pub struct Lane {
    /// Jobs of the kind that one worker process runs at once.
    pub slots: usize,
    /// 0 to 9, smaller first, among a tenant's own jobs of the kind.
    pub priority: u8,
}

/// When a failed job runs again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Runs in total, the first included.
    pub attempts: u32,
    /// Wait before the second run; doubles with each further one.
    pub base: Duration,
    /// Longest wait.
    pub cap: Duration,
}

impl RetryPolicy {
    /// The wait after the `failed`-th failed run: `base · 2^(failed−1)`, at most `cap`, ± 10 % jitter.
    pub fn delay(&self, failed: u32) -> Duration {
        let doubled = self.base.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1).min(30)));
        doubled.min(self.cap).mul_f64(rand::rng().random_range(0.9..=1.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let policy = RetryPolicy { attempts: 9, base: Duration::from_secs(1), cap: Duration::from_secs(10) };
        for (failed, expected) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (400, 10.0)] {
            let delay = policy.delay(failed).as_secs_f64();
            assert!((expected * 0.9..=expected * 1.1).contains(&delay), "{failed}: {delay}");
        }
    }
}
