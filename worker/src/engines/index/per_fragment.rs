//! Something kept in memory of each fragment of the tables that were used last. A fragment's file never changes, so nothing of it goes
//! out of date; what is kept of fragments that are no more is pushed out by others, or forgotten when it is not used.

use std::sync::Arc;

use jobs::domain::ids::TenantId;
use lance::{Dataset, table::format::Fragment};
use moka::{future::Cache, policy::EvictionPolicy};

use super::{rows::missing, schema, tables};

pub struct PerFragment<T>(Cache<Key, Arc<T>>);

/// Names a fragment's file.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    table: String,
    file: String,
}

impl<T: Send + Sync + 'static> PerFragment<T> {
    /// Shares so many bytes among all tables; `bytes_of` tells what one takes.
    pub fn new(bytes: u64, bytes_of: fn(&T) -> usize) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(move |_: &Key, kept: &Arc<T>| u32::try_from(bytes_of(kept)).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(tables::IDLE)
            .build();
        Self(cache)
    }

    /// What is kept of a fragment, read if nothing is.
    pub async fn get_or_read(
        &self,
        dataset: &Dataset,
        fragment: &Fragment,
        read: impl Future<Output = lancedb::Result<Arc<T>>>,
    ) -> lancedb::Result<Arc<T>> {
        let kept = self.0.try_get_with(key(dataset, fragment)?, read).await;
        kept.map_err(|error| lancedb::Error::Runtime { message: error.to_string() })
    }

    pub async fn get(&self, dataset: &Dataset, fragment: &Fragment) -> lancedb::Result<Option<Arc<T>>> {
        Ok(self.0.get(&key(dataset, fragment)?).await)
    }

    pub async fn insert(&self, dataset: &Dataset, fragment: &Fragment, kept: Arc<T>) -> lancedb::Result<()> {
        self.0.insert(key(dataset, fragment)?, kept).await;
        Ok(())
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }

    /// Lets go of what is kept of a tenant's tables.
    pub async fn forget(&self, tenant: TenantId) {
        let keys = self.0.iter().map(|(key, _)| key).filter(|key| tables::is_of(&key.table, tenant));
        for key in keys.collect::<Vec<_>>() {
            self.0.invalidate(key.as_ref()).await;
        }
    }
}

impl<T> Clone for PerFragment<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

fn key(dataset: &Dataset, fragment: &Fragment) -> lancedb::Result<Key> {
    let file = fragment.files.first().ok_or_else(|| missing(schema::VECTOR))?;
    Ok(Key { table: dataset.uri().to_owned(), file: file.path.clone() })
}
