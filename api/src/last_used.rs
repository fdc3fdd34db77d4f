//! Notes when credentials were used: to the minute, beside the requests, at most once a minute each.

use std::{collections::HashSet, time::Duration};

use jobs::{
    domain::ids::{ApiKeyId, OperatorKeyId, SessionId},
    store::{
        Database, Scope, StoreError, SystemTx,
        last_used::{self, Used},
    },
};
use moka::future::Cache;
use tokio::{sync::mpsc, task::JoinHandle};

/// How long a use is not noted again; the database keeps to the same over all processes.
const PERIOD: Duration = Duration::from_secs(60);
/// Credentials remembered as noted.
const CAPACITY: u64 = 20_000;
/// Uses that wait to be written. One that finds no room is dropped: the next minute has another.
const WAITING: usize = 1_024;
/// Uses written in one transaction.
const BATCH: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    Key(ApiKeyId),
    Operator(OperatorKeyId),
    Session(SessionId),
}

pub struct LastUsed {
    noted: Cache<Credential, ()>,
    waiting: mpsc::Sender<Credential>,
}

impl LastUsed {
    /// The task ends when all that was noted is written and nobody can note any more.
    pub fn start(database: Database) -> (Self, JoinHandle<()>) {
        let (waiting, arriving) = mpsc::channel(WAITING);
        let noted = Cache::builder().max_capacity(CAPACITY).time_to_live(PERIOD).build();
        (Self { noted, waiting }, tokio::spawn(write(database, arriving)))
    }

    /// Never waits for the database.
    pub async fn note(&self, credential: Credential) {
        if self.noted.contains_key(&credential) {
            return;
        }
        if self.noted.entry(credential).or_insert(()).await.is_fresh() {
            let _ = self.waiting.try_send(credential);
        }
    }
}

async fn write(database: Database, mut arriving: mpsc::Receiver<Credential>) {
    let mut batch = Vec::with_capacity(BATCH);
    while arriving.recv_many(&mut batch, BATCH).await > 0 {
        let mut used = Used::default();
        for credential in batch.drain(..).collect::<HashSet<_>>() {
            match credential {
                Credential::Key(id) => used.api_keys.push(id.uuid()),
                Credential::Operator(id) => used.operator_keys.push(id.uuid()),
                Credential::Session(id) => used.sessions.push(id.uuid()),
            }
        }
        if let Err(error) = save(&database, &used).await {
            tracing::warn!(%error, "the last use of credentials was not noted");
        }
    }
}

async fn save(database: &Database, used: &Used) -> Result<(), StoreError> {
    let mut tx = SystemTx::begin(database, None).await?;
    last_used::note(&mut tx, used).await?;
    tx.commit().await
}
