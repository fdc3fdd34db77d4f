//! Keeps the search index fast: merges small fragments, brings its indices up to date, gives tables that have grown a
//! vector index, removes the files of earlier versions, and drops tables of models that no search reads any more.
//!
//! - **What:** visits the tenants whose documents or models changed since the last run, one after the other, and reports those whose
//!   tables cannot be read or hold too little. The key is always the same, so that of all workers one does this at a time.
//! - **Who enqueues it:** the schedule, every five minutes.
//! - **Twice:** a table that needs nothing is left alone.
//! - **Gives up:** the next period's run visits the same tenants. Searches answer more slowly until then, nothing is lost.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::ids::TenantId,
    ports::{Collection, Index, IndexError},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, Periodic, RetryPolicy},
    store::{
        Scope, StoreError, SystemTx,
        knowledge::{self, Changed},
        schedules,
    },
};

/// Tenants read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Serialize, Deserialize)]
pub struct MaintainIndex {
    pub period: DateTime<Utc>,
}

impl Job for MaintainIndex {
    type Scope = SystemTx;

    const KIND: &'static str = "maintain_index";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 3, base: Duration::from_secs(5), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(3600);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        "index".to_owned()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let (mut failed, mut missing) = (0_u64, 0_u64);
        let mut after = None;
        loop {
            let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
            let tenants = knowledge::changed_tenants(tx.connection(), Self::KIND, after, PAGE).await?;
            tx.commit().await?;
            let Some(last) = tenants.last() else { break };
            after = Some(last.tenant);
            for changed in tenants {
                let Changed { tenant, chunks, .. } = changed;
                match maintain(&*context.engines().index, &changed).await {
                    Ok(stored) if stored < chunks => {
                        missing += chunks - stored;
                        tracing::error!(%tenant, chunks, stored, "chunks are missing from the index: rebuild it");
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failed += 1;
                        tracing::error!(%tenant, %error, "a tenant's index cannot be maintained");
                    }
                }
            }
        }
        metrics::gauge!("metachat_index_tenants_failing").set(failed as f64);
        metrics::gauge!("metachat_index_chunks_missing").set(missing as f64);
        let mut done = context.finish::<SystemTx>().await?;
        // A run that found something wrong is no success: the next one visits the same tenants again.
        if failed == 0 && missing == 0 {
            schedules::succeeded(done.tx().connection(), Self::KIND).await?;
        }
        done.commit().await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(cause, "the index was not maintained, the next period tries again");
        Ok(())
    }
}

/// Returns how many chunks the tenant has in the table that its searches read.
async fn maintain(index: &dyn Index, changed: &Changed) -> Result<u64, IndexError> {
    let Changed { tenant, models, settled, .. } = changed;
    let Some(model) = models.current.as_deref() else { return Ok(0) };
    if *settled {
        let dropped = index.keep_models(*tenant, &models.all().collect::<Vec<_>>()).await?;
        if dropped > 0 {
            tracing::info!(%tenant, dropped, "tables of earlier embedding models were dropped");
        }
    }
    for model in models.all() {
        index.maintain(Collection { tenant: *tenant, model }).await?;
    }
    index.rows(Collection { tenant: *tenant, model }).await
}

impl Periodic for MaintainIndex {
    const EVERY: Duration = Duration::from_secs(5 * 60);
    const PHASE: Duration = Duration::from_secs(2 * 60);

    fn of(period: DateTime<Utc>) -> Self {
        Self { period }
    }
}
