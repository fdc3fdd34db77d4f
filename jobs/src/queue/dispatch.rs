//! From a commit to the lanes, in the background and many at a time.
//!
//! Best effort by design: a push that fails, or that a full buffer turns away, is made up for by the relay. So a
//! Redis that is away costs a request nothing.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use chrono::Utc;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{envelope::Envelope, lanes::Lanes, signals::Topic};
use crate::{domain::plan::Share, store::jobs::NewJob};

/// Jobs and signals that wait for their push at most.
const BUFFER: usize = 20_000;
/// Jobs that wait for the next call of their lane's worker at most.
const INTAKE: usize = 1_000;
/// Jobs pushed in one go at most.
const BATCH: usize = 500;
/// Longest time one batch may take.
const PUSH_TIMEOUT: Duration = Duration::from_secs(3);

enum Item {
    Job(&'static str, Box<Envelope>),
    Told(Topic, Uuid),
}

/// The lanes that this process works on itself. A job for one of them goes along with the next call that its worker makes, which
/// may take it at once: most of what a job is followed by stays in the process, without a push, a wake-up and a claim of its own.
#[derive(Clone, Default)]
pub struct Intakes(Arc<RwLock<HashMap<&'static str, mpsc::Sender<Envelope>>>>);

impl Intakes {
    /// Takes the jobs of a kind from now on, until the receiver is closed.
    pub(super) fn open(&self, kind: &'static str) -> mpsc::Receiver<Envelope> {
        let (sender, receiver) = mpsc::channel(INTAKE);
        self.0.write().expect("not poisoned").insert(kind, sender);
        receiver
    }

    /// Gives a job to the worker of its lane; returns it when there is none, or no room.
    fn offer(&self, kind: &'static str, envelope: Envelope) -> Option<Envelope> {
        match self.0.read().expect("not poisoned").get(kind) {
            Some(intake) => intake.try_send(envelope).err().map(TrySendError::into_inner),
            None => Some(envelope),
        }
    }
}

/// Hands committed jobs to the lanes.
#[derive(Clone)]
pub struct Dispatcher {
    items: mpsc::Sender<Item>,
    intakes: Intakes,
}

impl Dispatcher {
    /// Starts the background task; it ends when every clone of the dispatcher is gone and all is pushed.
    pub fn start(lanes: Lanes, intakes: Intakes) -> (Self, JoinHandle<()>) {
        let (items, receiver) = mpsc::channel(BUFFER);
        metrics::counter!("metachat_dispatch_dropped_total").absolute(0);
        metrics::counter!("metachat_dispatch_failures_total").absolute(0);
        (Self { items, intakes }, tokio::spawn(push_batches(lanes, receiver)))
    }

    /// Queues a committed job for its lane.
    pub fn dispatch(&self, kind: &'static str, envelope: Envelope) {
        if let Some(envelope) = self.intakes.offer(kind, envelope) {
            self.offer(Item::Job(kind, Box::new(envelope)));
        }
    }

    /// Queues jobs that were just written and are due at once.
    pub(super) fn dispatch_written(&self, jobs: Vec<NewJob>, share: Share) {
        let now = Utc::now();
        for job in jobs {
            self.dispatch(job.kind, Envelope::fresh(job, share, now));
        }
    }

    /// Tells whoever listens for a message or search.
    pub fn tell(&self, topic: Topic, subject: Uuid) {
        self.offer(Item::Told(topic, subject));
    }

    fn offer(&self, item: Item) {
        if self.items.try_send(item).is_err() {
            metrics::counter!("metachat_dispatch_dropped_total").increment(1);
        }
    }
}

async fn push_batches(lanes: Lanes, mut receiver: mpsc::Receiver<Item>) {
    let mut items = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut items, BATCH).await > 0 {
        let mut by_kind: HashMap<&'static str, Vec<Envelope>> = HashMap::new();
        let mut told = Vec::new();
        for item in items.drain(..) {
            match item {
                Item::Job(kind, envelope) => by_kind.entry(kind).or_default().push(*envelope),
                Item::Told(topic, subject) => told.push((topic, subject)),
            }
        }
        let push = async {
            for (kind, jobs) in &by_kind {
                lanes.push(kind, jobs).await?;
            }
            if !told.is_empty() {
                lanes.announce(&told).await?;
            }
            Ok::<_, redis::RedisError>(())
        };
        let failure = match tokio::time::timeout(PUSH_TIMEOUT, push).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PUSH_TIMEOUT:?}"),
        };
        left_to_relay(by_kind.values().map(Vec::len).sum(), &failure);
    }
}

/// Tells of jobs whose push failed.
pub(super) fn left_to_relay(jobs: usize, error: &str) {
    metrics::counter!("metachat_dispatch_failures_total").increment(1);
    tracing::warn!(error, jobs, "push failed, left to the relay");
}
