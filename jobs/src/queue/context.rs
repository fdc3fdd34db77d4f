//! What a running job has at hand, and how it finishes.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use tracing::Span;

use super::{
    dispatch::Dispatcher,
    envelope::Envelope,
    group_commit::{Committed, GroupCommit},
    job::Job,
    outcome::{Done, Failure},
    signals::Announcements,
    work::{self, Work},
};
use crate::{
    domain::{ids::TenantId, secret::Vault, stripe::PriceList},
    ports::Engines,
    store::{
        Database, Originals, Scope, StoreError, TenantTx,
        jobs::{self as ledger, NewJob},
        outbox::{End, Outcome},
    },
    trace,
};

/// What every job of a process shares.
#[derive(Clone)]
pub struct Runtime {
    pub database: Database,
    pub dispatcher: Dispatcher,
    /// Of [`signals::Topic::Cancelled`](super::signals::Topic::Cancelled).
    pub cancellations: Announcements,
    pub group_commit: GroupCommit,
    pub engines: Engines,
    pub originals: Originals,
    /// Opens what the database holds sealed.
    pub vault: Vault,
    pub prices: Arc<PriceList>,
    /// Runs of a webhook delivery in total.
    pub webhook_attempts: u32,
    pub retention: Retention,
}

/// How long what grows without end is kept, besides the present day or month.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub history_days: u32,
    /// 0: for ever.
    pub message_months: u32,
    /// 0: for ever.
    pub api_log_months: u32,
}

impl Retention {
    /// The first day of the job history that is kept.
    pub fn history_from(self, today: NaiveDate) -> NaiveDate {
        today - Days::new(self.history_days.into())
    }

    /// The first day of messages that are kept; `None` when all are.
    pub fn messages_from(self, today: NaiveDate) -> Option<NaiveDate> {
        months_before(today, self.message_months)
    }

    /// The first day of the API's log that is kept; `None` when all are.
    pub fn api_logs_from(self, today: NaiveDate) -> Option<NaiveDate> {
        months_before(today, self.api_log_months)
    }
}

/// The first day of the month so many months before the present one; `None` for 0.
fn months_before(today: NaiveDate, months: u32) -> Option<NaiveDate> {
    let month = today - Days::new(today.day0().into());
    (months > 0).then(|| month - Months::new(months))
}

/// One run of one job.
pub struct JobContext {
    pub runtime: Runtime,
    pub(super) envelope: Envelope,
    pub(super) token: i64,
    pub(super) started_at: DateTime<Utc>,
}

impl JobContext {
    pub fn engines(&self) -> &Engines {
        &self.runtime.engines
    }

    /// Which run of the job this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.envelope.attempt + 1
    }

    /// The `traceparent` of a call to others: that of its span, or the run's where that one is not recorded.
    pub fn traceparent(&self, span: &Span) -> Option<String> {
        trace::traceparent(span).or_else(|| self.envelope.traceparent.clone())
    }

    /// A transaction beside the completion, for reading and for records that must outlive a failed run. End it
    /// before [`JobContext::finish`]: a job that holds two connections can starve the pool.
    pub async fn tenant_tx(&self) -> Result<TenantTx, StoreError> {
        TenantTx::begin(&self.runtime.database, self.envelope.tenant).await
    }

    /// Work that commits beside the completion, such as the pieces of a stream.
    pub async fn side_work(&self) -> Result<Work<TenantTx>, StoreError> {
        self.work(self.envelope.tenant).await
    }

    /// Opens the transaction in which the job finishes, and ends the job there first. Fails with [`Failure::Stale`] when another
    /// run has overtaken this one.
    pub async fn finish<S: Scope>(&self) -> Result<Completion<S>, Failure> {
        let mut work = self.work::<S>(self.envelope.tenant).await?;
        let ours = ledger::complete(work.tx().connection(), self.end(Outcome::Done)).await?;
        if ours { Ok(Completion { work }) } else { Err(Failure::Stale) }
    }

    /// As [`JobContext::finish`], for a job that changes nothing but this transaction: it ends with the statement that writes what
    /// follows from it, so the commit is what fails with [`Failure::Stale`].
    pub async fn finish_at_commit<S: Scope>(&self) -> Result<Completion<S>, Failure> {
        let mut work = self.work::<S>(self.envelope.tenant).await?;
        work.end(self.end(Outcome::Done));
        Ok(Completion { work })
    }

    /// Finishes the job, with nothing to change but the jobs that follow. Shares its commit with others.
    pub async fn finish_enqueuing<J: Job>(&self, next: &[J]) -> Result<Done, Failure> {
        let trace = &self.envelope.traceparent;
        let next: Result<Vec<_>, _> = next.iter().map(|job| work::row(job, Duration::ZERO, trace.clone())).collect();
        self.share_commit(Outcome::Done, next?).await
    }

    /// Finishes the job without an effect: what it was for has ended, or is gone.
    pub async fn cancel(&self) -> Result<Done, Failure> {
        self.share_commit(Outcome::Cancelled, Vec::new()).await
    }

    fn end(&self, outcome: Outcome) -> End {
        let Self { token, started_at, .. } = *self;
        End { id: self.envelope.id, token, started_at, outcome }
    }

    async fn share_commit(&self, outcome: Outcome, next: Vec<NewJob>) -> Result<Done, Failure> {
        match self.runtime.group_commit.complete(self.end(outcome), next).await? {
            Committed::Moved(written) => {
                self.runtime.dispatcher.dispatch_written(written, self.envelope.share);
                Ok(Done(()))
            }
            Committed::Stale => Err(Failure::Stale),
        }
    }

    /// Opens the transaction that moves the job to the dead letters; `None` when another run has overtaken it.
    pub(super) async fn bury<S: Scope>(&self, cause: &str) -> Result<Option<Completion<S>>, StoreError> {
        let mut work = self.work::<S>(self.envelope.tenant).await?;
        let ours = ledger::bury(work.tx().connection(), self.envelope.id, self.token, cause).await?;
        Ok(ours.then_some(Completion { work }))
    }

    async fn work<S: Scope>(&self, tenant: Option<TenantId>) -> Result<Work<S>, StoreError> {
        let Runtime { database, dispatcher, .. } = &self.runtime;
        Work::begin(database, dispatcher, tenant, self.envelope.share, self.envelope.traceparent.clone()).await
    }
}

/// A job's last transaction: its effect, its completion and its follow-up jobs commit once.
pub struct Completion<S: Scope> {
    work: Work<S>,
}

impl<S: Scope> Completion<S> {
    pub async fn commit(self) -> Result<Done, Failure> {
        self.work.commit().await?;
        Ok(Done(()))
    }

    /// Commits what giving up means; a job that gave up is not done.
    pub(super) async fn commit_burial(self) -> Result<(), StoreError> {
        self.work.commit().await
    }
}

impl<S: Scope> Deref for Completion<S> {
    type Target = Work<S>;

    fn deref(&self) -> &Work<S> {
        &self.work
    }
}

impl<S: Scope> DerefMut for Completion<S> {
    fn deref_mut(&mut self) -> &mut Work<S> {
        &mut self.work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_are_kept_besides_the_present_one() {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let retention = Retention { history_days: 30, message_months: 1, api_log_months: 0 };
        assert_eq!(retention.messages_from(day(2026, 3, 31)), Some(day(2026, 2, 1)));
        assert_eq!(retention.messages_from(day(2026, 1, 1)), Some(day(2025, 12, 1)));
        assert_eq!(retention.api_logs_from(day(2026, 1, 1)), None);
        assert_eq!(retention.history_from(day(2026, 3, 1)), day(2026, 1, 30));
    }
}
