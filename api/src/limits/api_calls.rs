//! The plan's calls a month: counted in the process, added up in batches.
//!
//! A process refuses when what the database knew at the last batch and what it counted since reach the limit, so one
//! process alone is exact. With several, each can pass the limit by what the others counted since its last batch: a
//! second's worth while Postgres answers. What a process counted since its last batch is lost when it crashes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jobs::{
    domain::ids::TenantId,
    store::{Database, Scope, StoreError, SystemTx, TenantTx, usage},
};
use tokio_util::sync::CancellationToken;

use crate::problem::Problem;

/// Between batches.
const BATCH_EVERY: Duration = Duration::from_secs(1);
/// A tenant without a call for this long is forgotten and looked up anew: the memory is that of the active ones.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// A refusal rests on a number that is not older: a new month begins, or calls are given back.
const REFUSE_BY: Duration = Duration::from_secs(5);

struct Count {
    /// What the database knew.
    stored: i64,
    stored_at: Instant,
    /// Counted here since.
    since: i64,
    last_call: Instant,
}

pub struct ApiCalls {
    database: Database,
    counts: Mutex<HashMap<TenantId, Count>>,
}

enum Taken {
    Counted,
    Refused(i64),
    /// The database must be asked first.
    Unknown,
}

impl ApiCalls {
    pub fn new(database: Database) -> Self {
        Self { database, counts: Mutex::default() }
    }

    /// Counts a call, or refuses it when the month's calls are used up.
    pub async fn count(&self, tenant: TenantId, limit: i64) -> Result<(), Problem> {
        let mut taken = self.take(tenant, limit);
        if let Taken::Unknown = taken {
            self.look_up(tenant).await?;
            taken = self.take(tenant, limit);
        }
        match taken {
            Taken::Counted => Ok(()),
            Taken::Refused(used) => Err(Problem::plan_limit("api_calls", limit, used)),
            Taken::Unknown => Err(Problem::unavailable("The calls of this month are not known right now.")),
        }
    }

    /// Calls counted here that no batch has stored yet.
    pub fn pending(&self, tenant: TenantId) -> i64 {
        self.with(|counts| counts.get(&tenant).map_or(0, |count| count.since))
    }

    fn take(&self, tenant: TenantId, limit: i64) -> Taken {
        self.with(|counts| {
            let Some(count) = counts.get_mut(&tenant) else { return Taken::Unknown };
            let used = count.stored + count.since;
            if used < limit {
                count.since += 1;
                count.last_call = Instant::now();
                return Taken::Counted;
            }
            match count.stored_at.elapsed() > REFUSE_BY {
                true => Taken::Unknown,
                false => Taken::Refused(used),
            }
        })
    }

    async fn look_up(&self, tenant: TenantId) -> Result<(), StoreError> {
        let asked = Instant::now();
        let mut tx = TenantTx::begin(&self.database, Some(tenant)).await?;
        let stored = usage::api_calls(&mut tx).await?;
        tx.commit().await?;
        self.with(|counts| {
            let count = counts.entry(tenant).or_insert(Count { stored, stored_at: asked, since: 0, last_call: asked });
            // A batch that was stored meanwhile knows better.
            if count.stored_at <= asked {
                (count.stored, count.stored_at) = (stored, asked);
            }
        });
        Ok(())
    }

    /// Adds up once a second until told to stop, and then once more.
    pub async fn add_up(&self, stop: CancellationToken) {
        loop {
            let stopped = tokio::time::timeout(BATCH_EVERY, stop.cancelled()).await.is_ok();
            if let Err(error) = self.store().await {
                tracing::warn!(%error, "calls are not added up; the next batch takes them along");
            }
            if stopped {
                return;
            }
        }
    }

    async fn store(&self) -> Result<(), StoreError> {
        let batch = self.with(|counts| {
            counts.retain(|_, count| count.since > 0 || count.last_call.elapsed() < FORGET_AFTER);
            let counted = counts.iter().filter(|(_, count)| count.since > 0);
            counted.map(|(tenant, count)| (*tenant, count.since)).collect::<HashMap<_, _>>()
        });
        if batch.is_empty() {
            return Ok(());
        }
        let calls: Vec<(TenantId, i64)> = batch.iter().map(|(tenant, calls)| (*tenant, *calls)).collect();
        let mut tx = SystemTx::begin(&self.database, None).await?;
        let totals: HashMap<TenantId, i64> = usage::add_api_calls(&mut tx, &calls).await?.into_iter().collect();
        tx.commit().await?;
        let now = Instant::now();
        self.with(|counts| {
            for (tenant, calls) in batch {
                // A tenant without a total was erased.
                let Some(total) = totals.get(&tenant) else {
                    counts.remove(&tenant);
                    continue;
                };
                if let Some(count) = counts.get_mut(&tenant) {
                    count.since -= calls;
                    (count.stored, count.stored_at) = (*total, now);
                }
            }
        });
        Ok(())
    }

    // A std mutex: nothing is awaited while it is held.
    fn with<T>(&self, touch: impl FnOnce(&mut HashMap<TenantId, Count>) -> T) -> T {
        touch(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
