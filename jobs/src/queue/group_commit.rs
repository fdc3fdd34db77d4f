//! Completions that change nothing but the ledger share a commit.
//!
//! Most of what a commit costs is the same for one row as for fifty. A job with an effect commits it together with its
//! completion, in a transaction of its tenant; one that only ends, or only enqueues what follows, hands its completion in
//! here and waits. While one batch is being committed the next one gathers, so a lone job waits for nobody.

use std::collections::HashSet;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::outcome::Failure;
use crate::{
    domain::ids::JobId,
    store::{
        Database, StoreError,
        jobs::{self as ledger, NewJob},
    },
};

/// Completions that wait at most; more wait for a place.
const BUFFER: usize = 1_000;
/// Completions of one commit at most.
const BATCH: usize = 100;

struct Pending {
    completion: ledger::Completion,
    told: oneshot::Sender<Result<Committed, Failure>>,
}

/// What became of a completion.
pub(super) enum Committed {
    /// The job is in the history, and these of those that follow are written.
    Moved(Vec<NewJob>),
    /// Its lease may not finish it any more; nothing is written.
    Stale,
}

/// Commits completions, many at a time.
#[derive(Clone)]
pub struct GroupCommit {
    pending: mpsc::Sender<Pending>,
}

impl GroupCommit {
    /// Starts the background task; it ends when every clone is gone and all is committed.
    pub fn start(database: Database) -> (Self, JoinHandle<()>) {
        let (pending, receiver) = mpsc::channel(BUFFER);
        (Self { pending }, tokio::spawn(commit_batches(database, receiver)))
    }

    pub(super) async fn complete(&self, completion: ledger::Completion) -> Result<Committed, Failure> {
        let (told, answer) = oneshot::channel();
        let gone = || Failure::Outage("the process is going down".into());
        self.pending.send(Pending { completion, told }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn commit_batches(database: Database, mut receiver: mpsc::Receiver<Pending>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        // Everybody locks rows in one order.
        batch.sort_by_key(|pending| pending.completion.id);
        let (completions, told): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|Pending { completion, told }| (completion, told)).unzip();
        metrics::histogram!("metachat_group_commit_jobs").record(completions.len() as f64);
        let mut committed = commit(&database, &completions).await;
        for (ledger::Completion { id, next, .. }, told) in completions.into_iter().zip(told) {
            let answer = match &mut committed {
                // Of two runs of one job that meet in a batch, one is told that it finished it.
                Ok((moved, written)) => Ok(if moved.remove(&id) {
                    Committed::Moved(next.into_iter().filter(|job| written.contains(&job.id)).collect())
                } else {
                    Committed::Stale
                }),
                Err(error) if error.is_outage() => Err(Failure::Outage(error.to_string())),
                Err(error) => Err(Failure::Retry(error.to_string())),
            };
            // A run that was cancelled meanwhile does not listen any more.
            let _ = told.send(answer);
        }
    }
}

async fn commit(
    database: &Database,
    completions: &[ledger::Completion],
) -> Result<(HashSet<JobId>, HashSet<JobId>), StoreError> {
    let mut connection = database.system_connection().await?;
    ledger::complete_many(&mut connection, completions).await
}
