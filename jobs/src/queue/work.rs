//! A transaction together with the jobs that become due when it commits.

use std::time::Duration;

use metrics::{Counter, Histogram};
use serde_json::Value;
use uuid::Uuid;

use super::{dispatch::Dispatcher, envelope::MAX_PAYLOAD, job::Job, signals::Topic};
use crate::{
    domain::{
        event::NewEvent,
        ids::{ConversationId, JobId, MessageId, TenantId},
        plan::Share,
    },
    store::{
        Database, Scope, StoreError, TenantTx,
        jobs::{self as ledger, NewJob},
        outbox::{End, NewEntry, Outbox},
        stream::StreamEvent,
    },
    trace,
};

/// Delay of a job that nobody pushes but the relay, which leaves one without a delay to its enqueuer for some seconds.
pub(super) const RELAY_SOON: Duration = Duration::from_millis(1);

/// Effects and follow-up jobs that commit once, together, and are dispatched after that.
pub struct Work<S: Scope> {
    tx: S,
    share: Share,
    traceparent: Option<String>,
    dispatcher: Dispatcher,
    outbox: Outbox,
    told: Vec<(Topic, Uuid)>,
    counts: Vec<Counter>,
    measured: Vec<(Histogram, f64)>,
}

impl<S: Scope> Work<S> {
    /// Opens the transaction, as [`Work::new`] takes it.
    pub async fn begin(
        database: &Database,
        dispatcher: &Dispatcher,
        tenant: Option<TenantId>,
        share: Share,
        traceparent: Option<String>,
    ) -> Result<Self, StoreError> {
        Ok(Self::new(S::begin(database, tenant).await?, dispatcher.clone(), share, traceparent))
    }

    /// Work in a transaction that was opened for it. `share` is the tenant's, carried by each job; `traceparent` joins them to a trace.
    pub fn new(tx: S, dispatcher: Dispatcher, share: Share, traceparent: Option<String>) -> Self {
        Self {
            tx,
            share,
            traceparent,
            dispatcher,
            outbox: Outbox::default(),
            told: Vec::new(),
            counts: Vec::new(),
            measured: Vec::new(),
        }
    }

    pub fn tx(&mut self) -> &mut S {
        &mut self.tx
    }

    /// Adds a job that is due when the transaction commits. Fails with [`StoreError::PayloadTooLarge`].
    pub fn enqueue<J: Job>(&mut self, job: &J) -> Result<(), StoreError> {
        self.enqueue_in(job, Duration::ZERO)
    }

    /// Adds a job that is due some time after the transaction commits.
    pub fn enqueue_in<J: Job>(&mut self, job: &J, delay: Duration) -> Result<(), StoreError> {
        self.outbox.jobs.push(row(job, delay, self.traceparent.clone())?);
        Ok(())
    }

    /// Adds a job about something else than what this transaction is about, such as the next message: it goes on with that thing's
    /// trace.
    pub fn enqueue_traced<J: Job>(&mut self, job: &J, theirs: Option<String>) -> Result<(), StoreError> {
        let same = |theirs: &String| self.traceparent.as_deref().is_some_and(|own| trace::id(own) == trace::id(theirs));
        let traceparent = theirs.filter(|theirs| !same(theirs)).or_else(|| self.traceparent.clone());
        self.outbox.jobs.push(row(job, Duration::ZERO, traceparent)?);
        Ok(())
    }

    /// The trace that the transaction's jobs are joined to.
    pub fn traceparent(&self) -> Option<String> {
        self.traceparent.clone()
    }

    /// Adds an event to the outbox, with the job that carries it on: they are written together with the jobs. The job is left out
    /// when no endpoint wants the event, unless it may have other receivers.
    pub(crate) fn report<J: Job>(&mut self, tenant: TenantId, event: NewEvent, carrier: &J) -> Result<(), StoreError> {
        let carrier = row(carrier, Duration::ZERO, self.traceparent.clone())?;
        let only_for_endpoints = (!event.event_type.reaches_callback()).then_some(event.id);
        self.outbox.jobs.push(NewJob { event: only_for_endpoints, ..carrier });
        self.outbox.events.push((tenant, event));
        Ok(())
    }

    /// Has the transaction end a job; those that it adds follow from that one.
    pub(super) fn end(&mut self, end: End) {
        self.outbox.ends.push(end);
    }

    /// Tells whoever listens for a message or search, once the transaction has committed.
    pub fn tell(&mut self, topic: Topic, subject: Uuid) {
        if !self.told.contains(&(topic, subject)) {
            self.told.push((topic, subject));
        }
    }

    /// Counts something once the transaction has committed, so that a run that changes nothing counts nothing.
    pub fn count(&mut self, counter: Counter) {
        self.counts.push(counter);
    }

    /// As [`Work::count`], for a value of a histogram.
    pub fn measure(&mut self, histogram: Histogram, value: f64) {
        self.measured.push((histogram, value));
    }

    /// Writes what was added, commits, and dispatches the jobs that are due. Fails with [`StoreError::Overtaken`], undoing
    /// everything, when the job that was to end was another run's to end.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let mut outbox = self.outbox;
        if let Some(end) = outbox.ends.first() {
            outbox.jobs.iter_mut().for_each(|job| job.parent = Some(end.id));
        }
        if !outbox.is_empty() {
            let written = outbox.write(self.tx.connection()).await?;
            if written.ended.len() < outbox.ends.len() {
                self.tx.rollback().await?;
                return Err(StoreError::Overtaken);
            }
            outbox.jobs.retain(|job| written.jobs.contains(&job.id) && job.delay.is_zero());
        }
        self.tx.commit().await?;
        self.dispatcher.dispatch_written(outbox.jobs, self.share);
        for counter in self.counts {
            counter.increment(1);
        }
        for (histogram, value) in self.measured {
            histogram.record(value);
        }
        for (topic, subject) in self.told {
            self.dispatcher.tell(topic, subject);
        }
        Ok(())
    }

    /// Undoes everything, and gives the transaction's locks back before it returns.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.tx.rollback().await
    }
}

impl Work<TenantTx> {
    /// Adds to a message's log, in the order of the calls.
    pub fn log(&mut self, conversation: ConversationId, message: MessageId, event: StreamEvent, data: Value) {
        let tenant = self.tx.tenant();
        self.outbox.entries.push(NewEntry { tenant, conversation, message, event, data });
    }
}

/// Adds a job to a transaction that has no lanes at hand: the relay pushes it within its tick.
pub async fn leave_to_relay<J: Job>(tx: &mut impl Scope, job: &J) -> Result<(), StoreError> {
    ledger::insert(tx.connection(), vec![row(job, RELAY_SOON, None)?]).await?;
    Ok(())
}

/// The job as it is written.
pub(super) fn row<J: Job>(job: &J, delay: Duration, traceparent: Option<String>) -> Result<NewJob, StoreError> {
    let payload = serde_json::to_value(job)?;
    let size = payload.to_string().len();
    if size > MAX_PAYLOAD {
        return Err(StoreError::PayloadTooLarge { kind: J::KIND, size, limit: MAX_PAYLOAD });
    }
    Ok(NewJob {
        id: JobId::generate(),
        tenant: job.tenant(),
        kind: J::KIND,
        key: job.key(),
        payload,
        subject: job.subject(),
        priority: J::LANE.priority,
        delay,
        traceparent,
        event: None,
        parent: None,
    })
}
