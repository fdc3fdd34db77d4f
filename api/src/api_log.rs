//! The log of requests that tenants read: gathered in the process, written in batches.
//!
//! A request only hands its entry over. When the buffer is full, because Postgres is slow or away, entries are dropped
//! and counted; nobody waits.

use std::time::Duration;

use jobs::store::{
    Database, Scope, StoreError, SystemTx,
    api_logs::{self, NewEntry},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Entries of one statement.
const BATCH: usize = 500;
/// How long a batch gathers entries.
const GATHER: Duration = Duration::from_millis(500);
/// Before a batch is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Where requests hand their entries over.
pub struct ApiLog(mpsc::Sender<NewEntry>);

/// The end that writes them.
pub struct Writer {
    database: Database,
    entries: mpsc::Receiver<NewEntry>,
}

/// A log that holds `buffer` entries, some 300 bytes each, and the batch that is being written.
pub fn channel(database: Database, buffer: usize) -> (ApiLog, Writer) {
    let (sender, entries) = mpsc::channel(buffer);
    (ApiLog(sender), Writer { database, entries })
}

impl ApiLog {
    pub fn record(&self, entry: NewEntry) {
        if self.0.try_send(entry).is_err() {
            dropped(1);
        }
    }
}

impl Writer {
    /// Writes until told to stop, and then what is left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.gather(&mut batch, &stop).await {
            while let Err(error) = self.write(&batch).await {
                tracing::warn!(%error, "entries of the request log are not written");
                if stop.is_cancelled() || !error.is_outage() {
                    dropped(batch.len());
                    break;
                }
                // Woken early by the stop, for a last try.
                let _ = tokio::time::timeout(RETRY, stop.cancelled()).await;
            }
            batch.clear();
        }
    }

    /// Waits for an entry and gathers those that follow it; returns false when nothing more will come.
    async fn gather(&mut self, batch: &mut Vec<NewEntry>, stop: &CancellationToken) -> bool {
        let entries = &mut self.entries;
        tokio::select! {
            received = entries.recv_many(batch, BATCH) => if received == 0 { return false },
            () = stop.cancelled(), if !entries.is_closed() => {
                entries.close();
                return entries.recv_many(batch, BATCH).await > 0;
            }
        }
        let more = async { while batch.len() < BATCH && entries.recv_many(batch, BATCH - batch.len()).await > 0 {} };
        tokio::select! {
            _ = tokio::time::timeout(GATHER, more) => {}
            () = stop.cancelled() => {}
        }
        true
    }

    async fn write(&self, batch: &[NewEntry]) -> Result<(), StoreError> {
        let mut tx = SystemTx::begin(&self.database, None).await?;
        api_logs::insert(&mut tx, batch).await?;
        tx.commit().await
    }
}

fn dropped(entries: usize) {
    metrics::counter!("metachat_api_log_dropped_total").increment(u64::try_from(entries).unwrap_or(u64::MAX));
}
