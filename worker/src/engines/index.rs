//! The tenant's chunks in LanceDB: one table per tenant and embedding model.

mod filter;
mod held;
mod maintenance;
mod parts;
mod per_fragment;
mod rows;
mod schema;
mod search;
mod snapshot;
mod tables;
mod unindexed;
mod words;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Collection, Found, Index, IndexError, Limits, Passage, Place, Query, Versions},
};
use tokio::time::timeout;

use self::{held::Held, snapshot::Snapshot, tables::Tables, unindexed::Unindexed};

/// Longest search.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);
/// Longest write, its retries and the maintenance after it included.
const WRITE_PATIENCE: Duration = Duration::from_secs(120);
/// Attempts at a write that loses against another process's commit, besides those LanceDB makes itself.
const WRITE_RETRIES: usize = 6;
/// Attempts at a search whose files another process removes meanwhile.
const SEARCH_RETRIES: usize = 2;
/// Longest maintenance of a tenant's tables: a vector index over a million rows takes minutes.
const MAINTENANCE_PATIENCE: Duration = Duration::from_secs(1200);

#[derive(Debug, Clone, clap::Args)]
pub struct IndexConfig {
    /// Where the tables live: a directory, made when it is missing, or a bucket such as s3://bucket/prefix, whose settings are
    /// AWS_ACCESS_KEY_ID and its like.
    #[arg(long, env = "LANCEDB_URI", default_value = ".metachat/lancedb")]
    pub lancedb_uri: String,
}

/// LanceDB through its Rust library, in process.
///
/// Small tables are searched exactly: a query reads every vector of its tenant and loses no recall. A table that outgrows that
/// has a vector index; rows that it does not hold yet are still read one by one, so none is missed. Every read looks for commits
/// of other processes first, so a document is found as soon as its job is done, wherever it ran.
pub struct LanceIndex {
    tables: Tables,
    held: Held,
    unindexed: Unindexed,
}

impl LanceIndex {
    pub async fn connect(config: &IndexConfig) -> anyhow::Result<Self> {
        let tables = Tables::connect(&config.lancedb_uri).await?;
        Ok(Self { tables, held: Held::new(), unindexed: Unindexed::new() })
    }

    async fn write<T, F>(&self, tenant: TenantId, work: impl FnMut() -> F) -> Result<T, IndexError>
    where
        F: Future<Output = lancedb::Result<T>>,
    {
        in_time(WRITE_PATIENCE, self.again(tenant, WRITE_RETRIES, work)).await
    }

    async fn read<T, F>(&self, tenant: TenantId, work: impl FnMut() -> F) -> Result<T, IndexError>
    where
        F: Future<Output = lancedb::Result<T>>,
    {
        in_time(SEARCH_PATIENCE, self.again(tenant, SEARCH_RETRIES, work)).await
    }

    /// A collection as it is now; `None` when nothing was ever added.
    async fn snapshot(&self, collection: Collection<'_>) -> lancedb::Result<Option<Snapshot<'_>>> {
        let Some(table) = self.tables.open(collection).await? else { return Ok(None) };
        let Some(dataset) = table.dataset() else { return Ok(None) };
        Ok(Some(Snapshot { dataset: dataset.get().await?, held: &self.held, unindexed: &self.unindexed }))
    }

    /// Does something, and again so many times while it fails.
    async fn again<T, F>(&self, tenant: TenantId, retries: usize, mut work: impl FnMut() -> F) -> lancedb::Result<T>
    where
        F: Future<Output = lancedb::Result<T>>,
    {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(retries)
            .with_jitter();
        let work = || self.forgetful(tenant, work());
        work.retry(backoff)
            .when(is_worth_a_retry)
            .notify(|error, delay| tracing::debug!(%error, ?delay, "using the index once more"))
            .await
    }

    /// Lets go of what is kept of a tenant's rows.
    async fn forget(&self, tenant: TenantId) {
        self.held.forget(tenant).await;
        self.unindexed.forget(tenant).await;
    }

    /// Closes the tenant's tables when something fails, so that the next call does not meet one that was dropped or made
    /// again since.
    async fn forgetful<T>(
        &self,
        tenant: TenantId,
        work: impl Future<Output = lancedb::Result<T>>,
    ) -> lancedb::Result<T> {
        let done = work.await;
        if done.is_err() {
            self.tables.close(tenant).await;
        }
        done
    }
}

#[async_trait]
impl Index for LanceIndex {
    async fn add(
        &self,
        collection: Collection<'_>,
        document: DocumentId,
        version: i32,
        chunks: Vec<Chunk>,
    ) -> Result<(), IndexError> {
        let Some(first) = chunks.first() else { return Ok(()) };
        let schema = schema::schema(first.vector.len());
        let batch = rows::batch(&schema, collection.model, document, version, &chunks);
        let batch = batch.map_err(|error| IndexError(error.to_string()))?;
        let add = || async {
            let table = self.tables.open_or_create(collection, &schema).await?;
            let mut merge = table.merge_insert(&["id"]);
            merge.when_matched_update_all(None).when_not_matched_insert_all();
            let reader = arrow_array::RecordBatchIterator::new([Ok(batch.clone())], batch.schema());
            merge.execute(Box::new(reader)).await?;
            Ok(table)
        };
        let table = self.write(collection.tenant, add).await?;
        maintenance::tidy(&table, WRITE_PATIENCE).await;
        Ok(())
    }

    async fn remove(
        &self,
        collection: Collection<'_>,
        document: DocumentId,
        versions: Versions,
    ) -> Result<u64, IndexError> {
        let rows = filter::versions(document, versions);
        self.write(collection.tenant, || async {
            let Some(table) = self.tables.open(collection).await? else { return Ok(0) };
            match table.count_rows(Some(rows.clone())).await? {
                0 => Ok(0),
                _ => table.delete(rows.as_str()).await.map(|deleted| deleted.num_deleted_rows),
            }
        })
        .await
    }

    async fn rows(&self, collection: Collection<'_>) -> Result<u64, IndexError> {
        self.read(collection.tenant, || async {
            match self.tables.open(collection).await? {
                Some(table) => Ok(table.count_rows(None).await? as u64),
                None => Ok(0),
            }
        })
        .await
    }

    async fn count(&self, tenant: TenantId, document: Option<DocumentId>) -> Result<u64, IndexError> {
        let rows = document.map(|document| filter::versions(document, Versions::All));
        self.read(tenant, || async {
            let mut count = 0;
            for table in self.tables.all(tenant).await? {
                count += table.count_rows(rows.clone()).await? as u64;
            }
            Ok(count)
        })
        .await
    }

    async fn erase_document(&self, tenant: TenantId, document: DocumentId) -> Result<(), IndexError> {
        let rows = filter::versions(document, Versions::All);
        self.write(tenant, || async {
            for table in self.tables.all(tenant).await? {
                table.delete(rows.as_str()).await?;
                maintenance::rewrite(&table).await?;
            }
            Ok(())
        })
        .await?;
        self.forget(tenant).await;
        Ok(())
    }

    async fn erase_tenant(&self, tenant: TenantId) -> Result<(), IndexError> {
        self.keep_models(tenant, &[]).await?;
        Ok(())
    }

    async fn keep_models(&self, tenant: TenantId, models: &[&str]) -> Result<usize, IndexError> {
        let dropped = self.write(tenant, || self.tables.drop_others(tenant, models)).await?;
        self.forget(tenant).await;
        Ok(dropped)
    }

    async fn search(&self, collection: Collection<'_>, query: Query<'_>, limits: Limits) -> Result<Found, IndexError> {
        let words = words::searched(query.text);
        self.read(collection.tenant, || async {
            match self.snapshot(collection).await? {
                Some(snapshot) => snapshot.search(&words, query, limits).await,
                None => Ok(Found::default()),
            }
        })
        .await
    }

    async fn passages(
        &self,
        collection: Collection<'_>,
        wanted: &HashMap<Place, u64>,
    ) -> Result<HashMap<Place, Passage>, IndexError> {
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(collection.tenant, || async {
            match self.snapshot(collection).await? {
                Some(snapshot) => snapshot.passages(wanted).await,
                None => Ok(HashMap::new()),
            }
        })
        .await
    }

    async fn maintain(&self, collection: Collection<'_>) -> Result<(), IndexError> {
        in_time(MAINTENANCE_PATIENCE, async {
            // As it is now: an open table would not tell that its files are gone.
            self.tables.close(collection.tenant).await;
            match self.tables.open(collection).await? {
                Some(table) => maintenance::maintain(&table).await,
                None => Ok(()),
            }
        })
        .await
    }
}

/// Drops all tables of a tenant, without a look into them.
pub async fn drop_tenant(config: &IndexConfig, tenant: TenantId) -> anyhow::Result<()> {
    let index = LanceIndex::connect(config).await?;
    Ok(index.erase_tenant(tenant).await?)
}

/// Another process's commit, files that it removed, or a storage failure; what the request itself does wrong stays wrong.
fn is_worth_a_retry(error: &lancedb::Error) -> bool {
    use lancedb::Error;
    !matches!(
        error,
        Error::InvalidInput { .. } | Error::InvalidTableName { .. } | Error::Schema { .. } | Error::Arrow { .. }
    )
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = lancedb::Result<T>>) -> Result<T, IndexError> {
    match timeout(patience, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(IndexError(error.to_string())),
        Err(_) => Err(IndexError(format!("no answer within {} s", patience.as_secs()))),
    }
}
