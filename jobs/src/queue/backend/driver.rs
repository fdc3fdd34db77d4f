//! Hands in the leases that ended, adds the jobs that this process wrote for the lane, and claims jobs for the slots that are free,
//! all in one call.
//!
//! Two calls are under way at most, so that Redis works on one while the jobs of the other run. What ends meanwhile goes with
//! the next one: the busier Redis is, the more a call carries. A lease that ended while nothing waits for its end is handed in with
//! the next job, if there is one soon.

use std::time::Duration;

use chrono::Utc;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::Instant,
};

use super::{
    Held, LaneBackendConfig,
    lease::{Delivery, Ended, Lease},
};
use crate::queue::{
    dispatch::left_to_relay,
    envelope::Envelope,
    lanes::{BATCH, Claimed, Exchange, Exchanged, Settlement},
};

/// Waits between tries while Redis is away.
const BACKOFF: Duration = Duration::from_millis(50);
const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// Crashes from which on a job is a suspect.
const SUSPECT: u32 = 2;
/// How long a job may wait to be added, so that it is before the relay takes it for lost.
const ADD_WITHIN: Duration = Duration::from_secs(3);
/// How long a lease that ended waits for a call to go along with, while at least half of the slots are free and the lane has no job
/// that waits. One that comes meanwhile, of a tenant that is at its cap with it, waits as long.
const LINGER: Duration = Duration::from_millis(20);

/// Ends when the worker has stopped and the lane knows how every lease ended.
pub(super) async fn run(config: LaneBackendConfig, held: Held, deliveries: mpsc::Sender<Delivery>) {
    let (sender, mut ended) = mpsc::unbounded_channel();
    let (stop, wake) = (config.stop.clone(), config.wake.clone());
    let mut intake = config.intakes.open(config.kind);
    let mut driver = Driver {
        free: config.slots,
        config,
        held,
        deliveries,
        sender: Some(sender),
        ended: Vec::new(),
        linger_until: None,
        added: Vec::new(),
        supply: Supply::Unknown,
        awaited: false,
        look_at: Instant::now(),
        backoff: BACKOFF,
        try_at: None,
    };
    let mut calls = FuturesUnordered::new();
    let (mut all_ended, mut all_added) = (false, false);
    loop {
        while let Some(call) = driver.next_call(calls.len()) {
            calls.push(call);
        }
        if all_ended && all_added && calls.is_empty() && driver.ended.is_empty() && driver.added.is_empty() {
            return;
        }
        let stopping = driver.sender.is_none();
        let lingers = driver.linger_until.is_some() && calls.is_empty();
        let room = BATCH - driver.added.len();
        // Not while a call is under way: its answer may be older than the wake-up, and would hide it.
        let idle = driver.supply == Supply::Dry && calls.is_empty() && !stopping;
        tokio::select! {
            Some(answer) = calls.next() => driver.take(answer),
            more = ended.recv_many(&mut driver.ended, BATCH), if !all_ended => {
                all_ended = more == 0;
                if driver.ended.len() == more {
                    driver.linger_until = Some(Instant::now() + LINGER);
                }
            }
            more = intake.recv_many(&mut driver.added, room), if room > 0 && !all_added => all_added = more == 0,
            () = sleep_until_some(driver.linger_until), if lingers => driver.linger_until = None,
            () = stop.cancelled(), if !stopping => {
                driver.sender = None;
                // What is written from now on is pushed by the dispatcher.
                intake.close();
            }
            () = wake.notified(), if idle => driver.supply = Supply::Unknown,
            () = tokio::time::sleep_until(driver.look_at), if idle => driver.supply = Supply::Unknown,
            () = sleep_until_some(driver.try_at), if driver.try_at.is_some() => driver.try_at = None,
        }
    }
}

async fn sleep_until_some(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

struct Driver {
    config: LaneBackendConfig,
    held: Held,
    deliveries: mpsc::Sender<Delivery>,
    /// Given to every lease; gone when the worker stops, so that the channel closes after the last one.
    sender: Option<mpsc::UnboundedSender<Ended>>,
    /// Leases that wait to be handed in.
    ended: Vec<Ended>,
    /// How long they may wait for a call to go along with; `None` when it is over.
    linger_until: Option<Instant>,
    /// Jobs that wait to be added to the lane.
    added: Vec<Envelope>,
    /// Slots without a job. That of a lease is free when the lane knows that it ended.
    free: usize,
    supply: Supply,
    /// Whether a job may wait for a lease to be handed in.
    awaited: bool,
    look_at: Instant,
    backoff: Duration,
    /// While Redis is away.
    try_at: Option<Instant>,
}

/// What the lane is known to hold for this worker.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Supply {
    /// It had less than was asked for: it is asked again with what ended, after a wake-up, or after a while.
    Dry,
    Unknown,
    /// It had all that was asked for: it is worth two calls at a time.
    Plenty,
}

/// What came of a call.
struct Answer {
    ended: Vec<Ended>,
    /// Jobs it was to add.
    added: usize,
    /// Free slots it kept for what it claims, besides those of the leases it hands in.
    kept: usize,
    asked: usize,
    alone: Option<OwnedSemaphorePermit>,
    result: Result<Exchanged, redis::RedisError>,
}

impl Driver {
    /// The next call to make beside those under way, if there is one.
    fn next_call(&mut self, under_way: usize) -> Option<BoxFuture<'static, Answer>> {
        let (stopping, half) = (self.sender.is_none(), self.config.slots.div_ceil(2));
        self.leave_late_ones_to_relay();
        if self.try_at.is_some() {
            return None;
        }
        if under_way == 2 {
            return None;
        }
        // Half of the slots at once, so that two calls take turns.
        let ending = self.ended.len().min(half).min(BATCH);
        let asked = if stopping { 0 } else { (self.free + ending).min(half).min(BATCH) };
        let claims = match self.supply {
            Supply::Plenty => asked,
            Supply::Unknown if under_way == 0 => asked,
            Supply::Unknown | Supply::Dry => 0,
        };
        // A second call at the same time has to be worth it.
        let enough = if under_way == 0 { 1 } else { half.div_ceil(4) };
        let pressing = if self.may_linger(half) { 0 } else { ending };
        if pressing.max(claims).max(self.added.len()) < enough {
            return None;
        }
        let ended: Vec<Ended> = self.ended.drain(..ending).collect();
        let added = std::mem::take(&mut self.added);
        self.linger_until = None;
        let kept = asked.saturating_sub(ending);
        self.free -= kept;
        {
            let mut held = self.held.lock().expect("not poisoned");
            for (_, member) in &ended {
                held.remove(member);
            }
        }
        self.look_at = Instant::now() + self.config.poll;
        let alone = if asked > 0 { self.config.suspect.clone().try_acquire_owned().ok() } else { None };
        let (lanes, kind) = (self.config.lanes.clone(), self.config.kind);
        Some(Box::pin(async move {
            let exchange = Exchange { ended: &ended, added: &added, wanted: asked, quarantined: alone.is_some() };
            let result = lanes.exchange(kind, exchange).await;
            Answer { added: added.len(), ended, kept, asked, alone, result }
        }))
    }

    /// A job may not reach the lane long after the relay pushed it: it may have run by then, and would run again.
    fn leave_late_ones_to_relay(&mut self) {
        let (away, late) = (self.try_at.is_some(), Utc::now() - ADD_WITHIN);
        let left = self.added.extract_if(.., |job| away || job.due_at < late).count();
        if left > 0 {
            left_to_relay(left, "Redis is away or slow");
        }
    }

    /// Whether nobody and nothing waits for the leases that ended to be handed in.
    fn may_linger(&self, half: usize) -> bool {
        let (slack, stopping) = (self.free >= half, self.sender.is_none());
        self.linger_until.is_some()
            && self.supply == Supply::Dry
            && slack
            && !self.awaited
            && !stopping
            && self.ended.iter().all(|(settlement, _)| *settlement == Settlement::Finish)
    }

    fn take(&mut self, answer: Answer) {
        let Answer { ended, added, kept, asked, mut alone, result } = answer;
        self.free += kept;
        let exchanged = match result {
            Ok(exchanged) => exchanged,
            Err(error) => {
                tracing::warn!(kind = self.config.kind, %error, "a lane could not be reached, will try again");
                // The slots stay taken until the lane knows how their leases ended.
                self.ended.extend(ended);
                if added > 0 {
                    left_to_relay(added, &error.to_string());
                }
                self.try_at = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF_CAP);
                return;
            }
        };
        self.backoff = BACKOFF;
        let claimed = exchanged.claimed;
        self.free = self.free + ended.len() - claimed.len();
        if asked > 0 {
            self.supply = if claimed.len() < asked { Supply::Dry } else { Supply::Plenty };
            self.awaited = exchanged.unclaimed > 0;
        } else if added > 0 {
            self.supply = Supply::Unknown;
        }
        metrics::counter!("metachat_claims_total", "kind" => self.config.kind).increment(claimed.len() as u64);
        if exchanged.stale > 0 {
            let stale = metrics::counter!("metachat_leases_stale_total", "kind" => self.config.kind);
            stale.increment(exchanged.stale as u64);
        }
        for job in claimed {
            self.deliver(job, &mut alone);
        }
    }

    /// Hands a job to the worker. One that was claimed while the worker stops goes back.
    fn deliver(&mut self, job: Claimed, alone: &mut Option<OwnedSemaphorePermit>) {
        let Claimed { member, crashes, envelope } = job;
        let lost = self.config.abandon.child_token();
        let alone = if crashes >= SUSPECT { alone.take() } else { None };
        let Some(sender) = self.sender.clone() else {
            self.ended.push((Settlement::Release, member));
            return;
        };
        self.held.lock().expect("not poisoned").insert(member.clone(), lost.clone());
        let lease = Lease::new(member, lost, sender, alone);
        // Never waits: there are as many places as slots. Dropping a delivery releases its lease.
        if self.deliveries.try_send(Delivery { envelope, crashes, lease }).is_err() {
            tracing::debug!(kind = self.config.kind, "claimed while closing, released");
        }
    }
}
