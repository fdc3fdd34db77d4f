//! Waiting for a message or search to end: woken by a signal, with a poll as a fallback.

use std::time::Duration;

use jobs::{
    domain::ids::{MessageId, TenantId},
    queue::signals::{Listener, Topic},
    store::{
        StoreError,
        answers::{self, Answered},
    },
};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{problem::Problem, state::AppState};

/// Longest wait a client may ask for.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// When the database is asked if no signal comes; twice as late each time, up to [`LONGEST_FALLBACK`]. A signal is lost with the
/// worker that died between its commit and it; two thousand who wait for a slow model are not to ask two thousand times a second.
const FALLBACK: Duration = Duration::from_secs(1);
const LONGEST_FALLBACK: Duration = Duration::from_secs(8);

/// The wait that a client asks for in seconds.
pub fn asked(seconds: Option<u64>) -> Result<Duration, Problem> {
    let wait = Duration::from_secs(seconds.unwrap_or_default());
    match wait <= MAX_WAIT {
        true => Ok(wait),
        false => Err(Problem::field("wait", format!("must be 0 to {} seconds", MAX_WAIT.as_secs()))),
    }
}

/// Somebody who waits for one subject. Made before the state is read, so that no change falls between.
pub struct Waiter<'a> {
    state: &'a AppState,
    deadline: Instant,
    signals: Listener,
    fallback: Duration,
}

impl<'a> Waiter<'a> {
    pub fn new(state: &'a AppState, topic: Topic, subject: Uuid, wait: Duration) -> Self {
        let signals = state.announcements.listen(topic, subject);
        Self { state, deadline: Instant::now() + wait, signals, fallback: FALLBACK }
    }

    /// Waits until the subject may have moved on; returns false when the time is up or the process drains.
    pub async fn moved_on(&mut self) -> bool {
        let moved = async {
            tokio::select! {
                told = self.signals.told(self.fallback) => Some(told),
                () = self.state.draining.cancelled() => None,
            }
        };
        let Ok(Some(told)) = timeout_at(self.deadline, moved).await else { return false };
        self.fallback = if told { FALLBACK } else { (self.fallback * 2).min(LONGEST_FALLBACK) };
        true
    }
}

/// The message when it is final, or as it is when the wait is over; `None` when the tenant has no such message.
///
/// With too many waiting already it is returned at once.
pub async fn for_message(
    state: &AppState,
    tenant: TenantId,
    id: MessageId,
    wait: Duration,
) -> Result<Option<Answered>, StoreError> {
    let place = if wait.is_zero() { None } else { state.waiter() };
    let mut waiter = Waiter::new(state, Topic::Ended, id.uuid(), wait);
    let mut last = place.is_none();
    let mut told = false;
    loop {
        let mut tx = state.look_up(tenant).await?;
        // Whoever was told of an end reads the message itself at once.
        if last || told || answers::status(&mut tx, id).await?.is_none_or(|status| status.is_final()) {
            let message = answers::find(&mut tx, id).await?;
            if last || message.as_ref().is_none_or(|message| message.status.is_final()) {
                return Ok(message);
            }
        }
        drop(tx);
        last = !waiter.moved_on().await;
        told = true;
    }
}
