//! Removes from the object store what no row names: of uploads whose rows were never committed, and of versions that are gone.
//!
//! - **What:** walks tenant by tenant over objects that are older than a day, so that none is met whose row is yet to come, and
//!   continues itself behind the tenant it came to.
//! - **Who enqueues it:** the schedule, every day; itself, until the last tenant.
//! - **Twice:** what is gone stays gone.
//! - **Gives up:** the next day's run begins again. Nothing is lost but space.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::ids::TenantId,
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, Periodic, RetryPolicy},
    store::{Scope, StoreError, SystemTx, document_versions, originals::Version, schedules},
};

/// Youngest object that is removed.
const AGE: TimeDelta = TimeDelta::hours(24);
/// Versions asked for at a time.
const BATCH: usize = 500;
/// How long a run begins with further tenants.
const SLICE: Duration = Duration::from_secs(20);
/// Versions that one run removes at most.
const MOST: usize = 5_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct SweepOriginals {
    pub period: DateTime<Utc>,
    /// The tenant that the run before came to.
    #[serde(default)]
    pub after: Option<TenantId>,
}

impl Job for SweepOriginals {
    type Scope = SystemTx;

    const KIND: &'static str = "sweep_originals";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 5, base: Duration::from_secs(30), cap: Duration::from_secs(600) };
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        "originals".to_owned()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let until = Instant::now() + SLICE;
        let (mut after, mut removed) = (self.after, 0);
        let tenants = context.runtime.originals.tenants(self.after).await?;
        let mut left = tenants.into_iter();
        while removed < MOST
            && Instant::now() < until
            && let Some(tenant) = left.next()
        {
            removed += sweep(context, tenant, MOST - removed).await?;
            // A tenant that used up what a run may remove is visited again.
            if removed < MOST {
                after = Some(tenant);
            }
        }
        let whole = removed < MOST && left.next().is_none();
        if removed > 0 {
            tracing::info!(removed, "versions that no row names were removed from the originals");
        }
        let mut done = context.finish::<SystemTx>().await?;
        match whole {
            true => schedules::succeeded(done.tx().connection(), Self::KIND).await?,
            false => done.enqueue(&Self { period: self.period, after })?,
        }
        done.commit().await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(cause, "the originals were not swept, the next period tries again");
        Ok(())
    }
}

/// Removes up to `most` of a tenant's versions that no row names; returns how many.
async fn sweep(context: &JobContext, tenant: TenantId, most: usize) -> Result<usize, Failure> {
    let originals = &context.runtime.originals;
    let versions = originals.versions_before(tenant, Utc::now() - AGE).await?;
    let mut removed = 0;
    for batch in versions.chunks(BATCH) {
        let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
        let named = document_versions::named(tx.connection(), batch).await?;
        tx.commit().await?;
        let nameless: Vec<&Version> = batch.iter().filter(|version| !named.contains(version)).collect();
        for version in nameless.into_iter().take(most - removed) {
            originals.erase_version(*version).await?;
            removed += 1;
        }
        if removed == most {
            break;
        }
    }
    Ok(removed)
}

impl Periodic for SweepOriginals {
    const EVERY: Duration = Duration::from_secs(24 * 3600);
    const PHASE: Duration = Duration::from_secs(4 * 3600 + 12 * 60);

    fn of(period: DateTime<Utc>) -> Self {
        Self { period, after: None }
    }
}
