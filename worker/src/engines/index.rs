//! The tenant's chunks in LanceDB: one table per tenant and embedding model.

mod filter;
mod maintenance;
mod rows;
mod schema;
mod search;
mod tables;
mod words;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Embedding, Hit, Index, IndexError, Place, SearchFilter},
};
use tokio::time::timeout;

use self::tables::Tables;

/// Longest search.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);
/// Longest write, its retries and the maintenance after it included.
const WRITE_PATIENCE: Duration = Duration::from_secs(120);
/// Attempts at a write that loses against another process's commit, besides those LanceDB makes itself.
const WRITE_RETRIES: usize = 6;
/// Longest maintenance of a tenant's tables: a vector index over a million rows takes minutes.
const MAINTENANCE_PATIENCE: Duration = Duration::from_secs(1200);

#[derive(Debug, Clone, clap::Args)]
pub struct IndexConfig {
    /// Where the tables live: a directory, made when it is missing. A bucket such as s3://bucket/prefix needs a feature of the
    /// crate lancedb, `aws` for this one, which this build leaves out.
    #[arg(long, env = "LANCEDB_URI", default_value = ".metachat/lancedb")]
    pub lancedb_uri: String,
}

/// LanceDB through its Rust library, in process.
///
/// Small tables are searched exactly: a query reads every vector of its tenant and loses no recall. Maintenance gives a
/// table a vector index when it outgrows that; rows added since are still read one by one, so none is missed. Every read
/// looks for commits of other processes first, so a document is found as soon as its job is done, wherever it ran.
pub struct LanceIndex {
    tables: Tables,
}

impl LanceIndex {
    /// `model` and `dimension` are the embedder's: rows of another model live in another table.
    pub async fn connect(config: &IndexConfig, model: &str, dimension: usize) -> anyhow::Result<Self> {
        Ok(Self { tables: Tables::connect(&config.lancedb_uri, model, dimension).await? })
    }

    async fn write<T, F>(&self, tenant: TenantId, mut work: impl FnMut() -> F) -> Result<T, IndexError>
    where
        F: Future<Output = lancedb::Result<T>>,
    {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(WRITE_RETRIES)
            .with_jitter();
        let work = || self.forgetful(tenant, work());
        let attempts = work.retry(backoff).when(is_worth_a_retry).notify(|error, delay| {
            tracing::debug!(%error, ?delay, "retrying a write to the index");
        });
        in_time(WRITE_PATIENCE, attempts).await
    }

    async fn read<T>(&self, tenant: TenantId, work: impl Future<Output = lancedb::Result<T>>) -> Result<T, IndexError> {
        in_time(SEARCH_PATIENCE, self.forgetful(tenant, work)).await
    }

    /// Closes the tenant's table when something fails, so that the next call does not meet one that was dropped or made
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
        tenant: TenantId,
        document: DocumentId,
        version: i32,
        chunks: Vec<Chunk>,
    ) -> Result<(), IndexError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let batch = rows::batch(self.tables.schema(), self.tables.model(), document, version, &chunks);
        let batch = batch.map_err(|error| IndexError(error.to_string()))?;
        let add = || async {
            let table = self.tables.open_or_create(tenant).await?;
            let mut merge = table.merge_insert(&["id"]);
            merge.when_matched_update_all(None).when_not_matched_insert_all();
            let reader = arrow_array::RecordBatchIterator::new([Ok(batch.clone())], batch.schema());
            merge.execute(Box::new(reader)).await?;
            Ok(table)
        };
        let table = self.write(tenant, add).await?;
        maintenance::tidy(&table, WRITE_PATIENCE).await;
        Ok(())
    }

    async fn remove_below(&self, tenant: TenantId, document: DocumentId, version: i32) -> Result<u64, IndexError> {
        let rows = filter::versions_below(document, version);
        self.write(tenant, || async {
            let Some(table) = self.tables.open(tenant).await? else {
                return Ok(0);
            };
            match table.count_rows(Some(rows.clone())).await? {
                0 => Ok(0),
                _ => table.delete(rows.as_str()).await.map(|deleted| deleted.num_deleted_rows),
            }
        })
        .await
    }

    async fn count(&self, tenant: TenantId, document: Option<DocumentId>) -> Result<u64, IndexError> {
        let rows = document.map(|document| filter::versions_below(document, i32::MAX));
        self.read(tenant, async {
            let mut count = 0;
            for table in self.tables.all(tenant).await? {
                count += table.count_rows(rows.clone()).await? as u64;
            }
            Ok(count)
        })
        .await
    }

    async fn erase_document(&self, tenant: TenantId, document: DocumentId) -> Result<(), IndexError> {
        let rows = filter::versions_below(document, i32::MAX);
        self.write(tenant, || async {
            for table in self.tables.all(tenant).await? {
                table.delete(rows.as_str()).await?;
                maintenance::rewrite(&table).await?;
            }
            Ok(())
        })
        .await
    }

    async fn erase_tenant(&self, tenant: TenantId) -> Result<(), IndexError> {
        self.write(tenant, || self.tables.drop_all(tenant)).await
    }

    async fn search_vector(
        &self,
        tenant: TenantId,
        query: &Embedding,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        self.read(tenant, async {
            match self.tables.open(tenant).await? {
                Some(table) => search::by_vector(&table, query, filter, limit).await,
                None => Ok(Vec::new()),
            }
        })
        .await
    }

    async fn search_text(
        &self,
        tenant: TenantId,
        query: &str,
        vector: &Embedding,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let words = words::searched(query);
        if words.is_empty() {
            return Ok(Vec::new());
        }
        self.read(tenant, async {
            match self.tables.open(tenant).await? {
                Some(table) => search::by_words(&table, words, vector, filter, limit).await,
                None => Ok(Vec::new()),
            }
        })
        .await
    }

    async fn texts_at(&self, tenant: TenantId, places: &[Place]) -> Result<HashMap<Place, String>, IndexError> {
        if places.is_empty() {
            return Ok(HashMap::new());
        }
        self.read(tenant, async {
            match self.tables.open(tenant).await? {
                Some(table) => search::texts_at(&table, places).await,
                None => Ok(HashMap::new()),
            }
        })
        .await
    }

    async fn maintain(&self, tenant: TenantId) -> Result<(), IndexError> {
        in_time(MAINTENANCE_PATIENCE, async {
            for table in self.tables.all(tenant).await? {
                maintenance::maintain(&table).await?;
            }
            Ok(())
        })
        .await
    }
}

/// Drops all tables of a tenant, without a look into them.
pub async fn drop_tenant(config: &IndexConfig, tenant: TenantId) -> anyhow::Result<()> {
    let index = LanceIndex::connect(config, "any", 1).await?;
    Ok(index.erase_tenant(tenant).await?)
}

/// Another process's commit or a storage failure; what the request itself does wrong stays wrong.
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
