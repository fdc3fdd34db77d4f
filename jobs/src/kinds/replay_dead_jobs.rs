//! Brings dead jobs back, some every second.
//!
//! - **What:** moves as many jobs of a replay as its rate allows in a second back into the ledger, notes how far it has
//!   come, and puts its own continuation one second ahead; all in one transaction, so the rate holds across workers
//!   and crashes. While too many of those it brought back wait for a worker, it waits too.
//! - **Who enqueues it:** the route and the command that start a replay.
//! - **Twice:** the second run finds its job finished and moves nothing.
//! - **Gives up:** the replay is `failed`; what it had not come to stays dead, for another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::embed_document::EmbedDocument;
use crate::{
    domain::ids::{DocumentId, JobId, ReplayId, TenantId},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, work},
    store::{
        Scope, StoreError, SystemTx,
        dead_jobs::{self, Filter, Revived},
        documents,
        replays::{self, State, Step},
    },
};

/// Between two steps of a replay.
const STEP: Duration = Duration::from_secs(1);
/// Replayed jobs of a tenant that are due and not done, at most: half of its window in a lane, so that fresh work finds
/// room there and goes before them. A replay that is faster than the workers waits.
const MAX_DUE: i64 = 1_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct ReplayDeadJobs {
    /// Whose dead jobs; `None` for all tenants' and the platform's.
    pub tenant: Option<TenantId>,
    pub replay: ReplayId,
}

impl Job for ReplayDeadJobs {
    type Scope = SystemTx;

    const KIND: &'static str = "replay_dead_jobs";
    const LANE: Lane = Lane { slots: 2, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 10, base: Duration::from_secs(1), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    fn key(&self) -> String {
        self.replay.to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.replay.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        let Some(replay) = replays::lock_running(done.tx().connection(), self.replay).await? else {
            // Cancelled meanwhile.
            return done.commit().await;
        };
        let due = dead_jobs::replayed_and_due(done.tx().connection(), self.tenant, MAX_DUE).await?;
        let room = i32::try_from(MAX_DUE - due).unwrap_or_default();
        let limit = replay.rate_per_second.min(replay.remaining()).min(room);
        let next = replays::next(done.tx().connection(), &replay, limit).await?;
        let ids: Vec<_> = next.iter().map(|(_, id)| *id).collect();
        let revived = revive(done.tx(), &ids, dead_jobs::REPLAYED).await?;
        // Both are at most `limit`.
        let (seen, revived) = (next.len() as i32, revived.len() as i32);
        let more = seen == limit && replay.remaining() > seen;
        let step = Step { seen, revived, walked: next.last().copied(), more };
        replays::advance(done.tx().connection(), &replay, step).await?;
        if more {
            done.enqueue_in(self, STEP)?;
        }
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<SystemTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        let Some(replay) = envelope.subject.map(ReplayId::from_uuid) else { return Ok(()) };
        tracing::error!(%replay, cause, "replay ended half-way");
        replays::end(burial.tx().connection(), replay, State::Failed).await
    }
}

/// Starts a replay of the jobs that are dead now, at most [`replays::MAX_JOBS`]. Fails on
/// `dead_job_replays_one_running` as [`replays::insert`] does.
pub async fn start(tx: &mut impl Scope, filter: &Filter, rate_per_second: u16) -> Result<ReplayId, StoreError> {
    let replay = ReplayId::generate();
    replays::insert(tx.connection(), replay, filter, rate_per_second.into()).await?;
    work::leave_to_relay(tx, &ReplayDeadJobs { tenant: filter.tenant, replay }).await?;
    Ok(replay)
}

/// What became of a single replay.
#[derive(Debug, Clone)]
pub enum Single {
    /// It is queued; its kind.
    Queued(String),
    /// It stays dead: the same work waits under another job already.
    AlreadyQueued,
    /// The transaction sees no dead job of this id.
    Missing,
}

/// Brings one dead job back, with the priority it had.
pub async fn single(tx: &mut impl Scope, id: JobId) -> Result<Single, StoreError> {
    match revive(tx, &[id], 0).await?.pop() {
        Some(revived) => Ok(Single::Queued(revived.kind)),
        None if dead_jobs::find(tx.connection(), id).await?.is_some() => Ok(Single::AlreadyQueued),
        None => Ok(Single::Missing),
    }
}

/// Moves jobs back into the ledger and takes back that their documents failed.
async fn revive(tx: &mut impl Scope, ids: &[JobId], priority: u8) -> Result<Vec<Revived>, StoreError> {
    let revived = dead_jobs::revive(tx.connection(), ids, priority, EmbedDocument::KIND).await?;
    let failed: Vec<_> = revived.iter().filter_map(|job| document(job.payload.as_ref()?)).collect();
    if !failed.is_empty() {
        documents::mark_pending(tx.connection(), &failed).await?;
    }
    Ok(revived)
}

/// `None` for a payload that cannot be read: its job may have died of that, and will again, but its neighbours need not.
fn document(payload: &Value) -> Option<(TenantId, DocumentId, i32)> {
    let EmbedDocument { tenant, document, version } = EmbedDocument::deserialize(payload).ok()?;
    Some((tenant, document, version))
}
