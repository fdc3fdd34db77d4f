//! What a key opens.

use std::{sync::Arc, time::Duration};

use jobs::store::{
    Database, Scope, StoreError, SystemTx,
    api_keys::{self, Opened},
};
use moka::future::Cache;

use crate::{
    credentials,
    problem::{Kind, Problem},
};

/// How long an answer of the database is believed: a revoked key works this much longer at most.
const BELIEVED: Duration = Duration::from_secs(1);
/// Keys remembered at once.
const CAPACITY: u64 = 10_000;

/// Looks keys up, one query per key and second however many requests carry it.
pub struct Keys {
    database: Database,
    cache: Cache<[u8; 32], Option<Arc<Opened>>>,
}

impl Keys {
    pub fn new(database: Database) -> Self {
        Self { database, cache: Cache::builder().max_capacity(CAPACITY).time_to_live(BELIEVED).build() }
    }

    /// What the key opens; `None` for a key nobody has.
    pub async fn open(&self, key: &str) -> Result<Option<Arc<Opened>>, Problem> {
        if !key.starts_with(credentials::TENANT_PREFIX) || key.len() > credentials::MAX_KEY_CHARS {
            return Ok(None);
        }
        let hash = credentials::hash(key);
        let found = self.cache.try_get_with(hash, self.look_up(&hash)).await;
        found.map_err(|error: Arc<StoreError>| match error.is_outage() {
            true => Problem::unavailable("The database is not available right now.").cause(error),
            false => Problem::new(Kind::Internal).cause(error),
        })
    }

    /// Forgets what it knows, so that the next request of every key is looked up.
    pub fn forget(&self) {
        self.cache.invalidate_all();
    }

    async fn look_up(&self, hash: &[u8; 32]) -> Result<Option<Arc<Opened>>, StoreError> {
        let mut tx = SystemTx::begin(&self.database, None).await?;
        let opened = api_keys::open(&mut tx, hash).await?;
        tx.commit().await?;
        Ok(opened.map(Arc::new))
    }
}
