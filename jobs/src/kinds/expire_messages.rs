//! Ends messages that are past their retention, a month at a time.
//!
//! - **What:** deletes what hangs on the messages of months that are not kept (streams, events with their deliveries,
//!   escalations, jobs) in batches, drops the oldest of those months' partitions, and then walks through the
//!   conversations that began before: those without messages go, in others nothing points to what is gone. Messages of
//!   such months in the default partition are deleted. Continues itself until nothing is left to do.
//! - **Who enqueues it:** the schedule, once a day.
//! - **Twice:** each step finds done what the first run did. A drop commits together with the walk that follows it, and
//!   the walk with how far it has come.
//! - **Gives up:** the next day's run does what this one left, except for a walk: empty conversations stay until the next
//!   month is dropped.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::turn;
use crate::{
    domain::{
        ids::{ConversationId, TenantId},
        plan::Share,
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, Periodic, RetryPolicy, Work},
    store::{
        Scope, StoreError, SystemTx, TenantTx, expiry,
        partitions::{self, Parent},
        schedules,
    },
};

/// Rows of each table deleted, and conversations walked through, in one transaction at most.
const BATCH: i64 = 1_000;
/// Batches of one run; then it continues itself.
const BATCHES: u32 = 20;

#[derive(Debug, Serialize, Deserialize)]
pub struct ExpireMessages {
    pub period: DateTime<Utc>,
    /// How far the walk after a drop has come; `None` while there is none.
    #[serde(default)]
    pub walked: Option<ConversationId>,
}

impl Job for ExpireMessages {
    type Scope = SystemTx;

    const KIND: &'static str = "expire_messages";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 20, base: Duration::from_secs(1), cap: Duration::from_secs(300) };
    const TIMEOUT: Duration = Duration::from_secs(170);

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
        let Some(kept_from) = context.runtime.retention.messages_from(Utc::now().date_naive()) else {
            return self.succeed(context).await;
        };
        let end = kept_from.and_time(NaiveTime::MIN).and_utc();
        if let Some(walked) = self.walked {
            return self.walk(context, end, walked).await;
        }
        for _ in 0..BATCHES {
            let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
            let deleted = expiry::detach(tx.connection(), end, BATCH).await?;
            tx.commit().await?;
            if deleted == 0 {
                return self.drop_oldest(context, end).await;
            }
        }
        self.go_on(context, None).await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(cause, "messages past their retention were not all removed, the next period tries again");
        Ok(())
    }
}

impl ExpireMessages {
    /// Drops a month on which nothing hangs any more; without one, deletes what has come to lie outside of months.
    async fn drop_oldest(&self, context: &JobContext, end: DateTime<Utc>) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        let connection = done.tx().connection();
        let dropped = partitions::drop_oldest(connection, Parent::Messages, end.date_naive()).await?;
        let ended = match &dropped {
            Some(_) if expiry::hangs(connection, end).await? => {
                return Err(Failure::Retry("something came to hang on messages past their retention".into()));
            }
            Some(_) => true,
            None => expiry::stragglers(connection, end, BATCH).await? > 0,
        };
        if !ended {
            schedules::succeeded(connection, Self::KIND).await?;
            return done.commit().await;
        }
        done.enqueue(&Self { walked: Some(ConversationId::from_uuid(Uuid::nil())), ..*self })?;
        let done = done.commit().await?;
        tracing::info!(partition = dropped, kept_from = %end, "messages past their retention are gone");
        Ok(done)
    }

    /// Brings the next conversations in line with what is gone.
    async fn walk(&self, context: &JobContext, end: DateTime<Utc>, walked: ConversationId) -> Result<Done, Failure> {
        let mut walked = walked;
        for _ in 0..BATCHES {
            let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
            let ids = expiry::conversations(tx.connection(), end, walked, BATCH).await?;
            expiry::delete_empty(tx.connection(), &ids, end).await?;
            expiry::let_go(tx.connection(), &ids, end).await?;
            let stuck = expiry::stuck(tx.connection(), &ids, end).await?;
            tx.commit().await?;
            for (tenant, conversation) in stuck {
                let (database, dispatcher) = (&context.runtime.database, &context.runtime.dispatcher);
                let mut work =
                    Work::<TenantTx>::begin(database, dispatcher, Some(tenant), Share::PLATFORM, None).await?;
                turn::give_on(&mut work, conversation, end).await?;
                work.commit().await?;
            }
            match ids.last() {
                Some(last) if ids.len() as i64 == BATCH => walked = *last,
                // There may be another month.
                _ => return self.go_on(context, None).await,
            }
        }
        self.go_on(context, Some(walked)).await
    }

    async fn go_on(&self, context: &JobContext, walked: Option<ConversationId>) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        done.enqueue(&Self { walked, ..*self })?;
        done.commit().await
    }

    async fn succeed(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        schedules::succeeded(done.tx().connection(), Self::KIND).await?;
        done.commit().await
    }
}

impl Periodic for ExpireMessages {
    const EVERY: Duration = Duration::from_secs(24 * 3600);
    const PHASE: Duration = Duration::from_secs(3 * 3600 + 22 * 60);

    fn of(period: DateTime<Utc>) -> Self {
        Self { period, walked: None }
    }
}
