//! What a key opens: a tenant, or the operator's door.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use jobs::store::{Database, Scope, StoreError, SystemTx, api_keys, operator_keys};
use moka::{Expiry, future::Cache};

use crate::{
    identity::Identity,
    problem::{Kind, Problem},
};

/// How long an answer of the database is believed, from the moment it was asked: a revoked key works this much longer
/// at most, on every replica. A key's own expiry is exact.
const BELIEVED: Duration = Duration::from_secs(1);
/// Keys of each audience remembered at once.
const CAPACITY: u64 = 10_000;

/// Looks keys up, one query per key and second however many requests carry it.
pub struct Keys {
    database: Database,
    tenants: Answers<Identity>,
    operators: Answers<operator_keys::Opened>,
}

impl Keys {
    pub fn new(database: Database) -> Self {
        Self { database, tenants: Answers::new(), operators: Answers::new() }
    }

    /// Whom the tenant's key with this hash stands for; `None` for a key that opens nothing.
    pub async fn tenant(&self, hash: [u8; 32]) -> Result<Option<Arc<Identity>>, Problem> {
        let look_up = async {
            let mut tx = SystemTx::begin(&self.database, None).await?;
            let opened = api_keys::open(&mut tx, &hash).await?;
            tx.commit().await?;
            Ok(opened.map(|opened| (opened.expires_at, Identity::of_key(opened))))
        };
        self.tenants.get(hash, look_up).await
    }

    /// The operator's key with this hash; `None` for one that opens nothing.
    pub async fn operator(&self, hash: [u8; 32]) -> Result<Option<Arc<operator_keys::Opened>>, Problem> {
        let look_up = async {
            let mut tx = SystemTx::begin(&self.database, None).await?;
            let opened = operator_keys::open(&mut tx, &hash).await?;
            tx.commit().await?;
            Ok(opened.map(|opened| (opened.expires_at, opened)))
        };
        self.operators.get(hash, look_up).await
    }

    /// Forgets what it knows, so that the next request of every key is looked up.
    pub fn forget(&self) {
        self.tenants.0.invalidate_all();
        self.operators.0.invalidate_all();
    }
}

/// What the database said of keys, by their hashes, while it is believed.
struct Answers<T>(Cache<[u8; 32], Answer<T>>);

struct Answer<T> {
    asked_at: Instant,
    opened: Option<Arc<T>>,
    expires_at: Option<DateTime<Utc>>,
}

impl<T> Clone for Answer<T> {
    fn clone(&self) -> Self {
        Self { opened: self.opened.clone(), ..*self }
    }
}

impl<T: Send + Sync + 'static> Answers<T> {
    fn new() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).expire_after(WhileBelieved).build())
    }

    async fn get(
        &self,
        hash: [u8; 32],
        look_up: impl Future<Output = Result<Option<(Option<DateTime<Utc>>, T)>, StoreError>>,
    ) -> Result<Option<Arc<T>>, Problem> {
        let ask = async {
            let asked_at = Instant::now();
            let (expires_at, opened) = look_up.await?.unzip();
            Ok(Answer { asked_at, opened: opened.map(Arc::new), expires_at: expires_at.flatten() })
        };
        let answer =
            self.0.try_get_with(hash, ask).await.map_err(|error: Arc<StoreError>| match error.is_outage() {
                true => Problem::unavailable("The database is not available right now.").cause(error),
                false => Problem::new(Kind::Internal).cause(error),
            })?;
        Ok(answer.opened.filter(|_| answer.expires_at.is_none_or(|at| at > Utc::now())))
    }
}

/// Counts from the question, not from the answer: a key may be revoked while a slow answer is on its way.
struct WhileBelieved;

impl<T> Expiry<[u8; 32], Answer<T>> for WhileBelieved {
    fn expire_after_create(&self, _: &[u8; 32], answer: &Answer<T>, _: Instant) -> Option<Duration> {
        Some(BELIEVED.saturating_sub(answer.asked_at.elapsed()))
    }
}
