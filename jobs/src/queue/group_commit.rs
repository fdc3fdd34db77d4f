//! Completions that change nothing but the ledger share a commit.
//!
//! Most of what a commit costs is the same for one row as for fifty. A job with an effect commits it together with its
//! completion, in a transaction of its tenant; one that only ends, or only enqueues what follows, hands its completion in
//! here and waits. While one batch is being committed the next one gathers, so a lone job waits for nobody.

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::outcome::Failure;
use crate::store::{
    Database, StoreError,
    jobs::NewJob,
    outbox::{End, Outbox, Written},
};

/// Completions that wait at most; more wait for a place.
const BUFFER: usize = 1_000;
/// Completions of one commit at most.
const BATCH: usize = 100;

struct Pending {
    end: End,
    next: Vec<NewJob>,
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

    /// Ends a job and writes those that follow from it.
    pub(super) async fn complete(&self, end: End, next: Vec<NewJob>) -> Result<Committed, Failure> {
        let (told, answer) = oneshot::channel();
        let gone = || Failure::Outage("the process is going down".into());
        self.pending.send(Pending { end, next, told }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

async fn commit_batches(database: Database, mut receiver: mpsc::Receiver<Pending>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut batch, BATCH).await > 0 {
        // Everybody locks rows in one order.
        batch.sort_by_key(|pending| pending.end.id);
        metrics::histogram!("metachat_group_commit_jobs").record(batch.len() as f64);
        let mut outbox = Outbox::default();
        let mut waiting = Vec::with_capacity(batch.len());
        for Pending { end, next, told } in batch.drain(..) {
            let id = end.id;
            outbox.ends.push(end);
            outbox.jobs.extend(next.into_iter().map(|job| NewJob { parent: Some(id), ..job }));
            waiting.push((id, told));
        }
        let mut committed = commit(&database, &outbox).await;
        if let Ok(written) = &committed {
            outbox.jobs.retain(|job| written.jobs.contains(&job.id));
        }
        for (id, told) in waiting {
            let answer = match &mut committed {
                // Of two runs of one job that meet in a batch, one is told that it finished it.
                Ok(written) => Ok(match written.ended.remove(&id) {
                    true => Committed::Moved(outbox.jobs.extract_if(.., |job| job.parent == Some(id)).collect()),
                    false => Committed::Stale,
                }),
                Err(error) if error.is_outage() => Err(Failure::Outage(error.to_string())),
                Err(error) => Err(Failure::Retry(error.to_string())),
            };
            // A run that was cancelled meanwhile does not listen any more.
            let _ = told.send(answer);
        }
    }
}

async fn commit(database: &Database, outbox: &Outbox) -> Result<Written, StoreError> {
    let mut session = database.system_connection().await?;
    let written = outbox.write(session.connection()).await?;
    session.give_back();
    Ok(written)
}
