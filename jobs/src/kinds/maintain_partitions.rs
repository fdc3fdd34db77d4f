//! Keeps partitions ahead of the rows that need them, and ends those that are old enough.
//!
//! - **What:** creates the partitions of messages and of the API's log for a year ahead and of the job history for 35 days
//!   ahead, and drops the months of the log and the days of the history beyond their retention; messages' months end by
//!   `expire_messages`. Each in a transaction of its own, so that locks are held for moments; one that is not free within
//!   200 ms is given up.
//! - **Who enqueues it:** the schedule, every hour.
//! - **Twice:** what exists is left alone, what is gone stays gone.
//! - **Gives up:** the next hour's run does what this one left. Rows without a partition go to the default one.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::ids::TenantId,
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, Periodic, RetryPolicy},
    store::{
        Scope, StoreError, SystemTx,
        partitions::{self, Creation, Parent},
        schedules,
    },
};

/// Months and days of history that have a partition, the present one included.
const MONTHS: u32 = 13;
const HISTORY_DAYS: u64 = 36;
/// Partitions of a table dropped in one run at most: more than a year of days takes another hour.
const MAX_DROPS: u32 = 400;

#[derive(Debug, Serialize, Deserialize)]
pub struct MaintainPartitions {
    pub period: DateTime<Utc>,
}

impl Job for MaintainPartitions {
    type Scope = SystemTx;

    const KIND: &'static str = "maintain_partitions";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 20, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(120);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        self.period.to_rfc3339()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let today = Utc::now().date_naive();
        let months = (0..MONTHS).flat_map(|ahead| {
            let first = first_of_month(today) + Months::new(ahead);
            [(Parent::Messages, first), (Parent::ApiLogs, first)]
        });
        let days = (0..HISTORY_DAYS).map(|ahead| (Parent::JobHistory, today + Days::new(ahead)));
        for (parent, first) in months.chain(days) {
            create(context, parent, first).await?;
        }
        let retention = context.runtime.retention;
        drop_before(context, Parent::JobHistory, retention.history_from(today)).await?;
        if let Some(kept_from) = retention.api_logs_from(today) {
            drop_before(context, Parent::ApiLogs, kept_from).await?;
        }
        let mut done = context.finish::<SystemTx>().await?;
        schedules::succeeded(done.tx().connection(), Self::KIND).await?;
        done.commit().await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(cause, "partitions were not maintained, the next period tries again");
        Ok(())
    }
}

impl Periodic for MaintainPartitions {
    const EVERY: Duration = Duration::from_secs(3600);
    /// Away from the full hour, when others are busy.
    const PHASE: Duration = Duration::from_secs(7 * 60);

    fn of(period: DateTime<Utc>) -> Self {
        Self { period }
    }
}

async fn create(context: &JobContext, parent: Parent, first: NaiveDate) -> Result<(), Failure> {
    let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
    let creation = partitions::create(tx.connection(), parent, first).await?;
    tx.commit().await?;
    match creation {
        Creation::Exists => {}
        Creation::Created => tracing::info!(table = parent.as_str(), %first, "partition created"),
        // Said, not tried again and again: the rows are safe, and moving them needs a person and a quiet moment.
        Creation::DefaultHoldsRows => tracing::error!(
            table = parent.as_str(),
            %first,
            "the partition is missing and its rows are in the default one"
        ),
    }
    Ok(())
}

async fn drop_before(context: &JobContext, parent: Parent, kept_from: NaiveDate) -> Result<(), Failure> {
    for _ in 0..MAX_DROPS {
        let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
        let dropped = partitions::drop_oldest(tx.connection(), parent, kept_from).await?;
        tx.commit().await?;
        match dropped {
            Some(partition) => tracing::info!(partition, "past its retention, dropped"),
            None => break,
        }
    }
    Ok(())
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.day0().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_its_first_day() {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        assert_eq!(first_of_month(day(2028, 2, 29)), day(2028, 2, 1));
        assert_eq!(first_of_month(day(2026, 12, 1)), day(2026, 12, 1));
    }
}
