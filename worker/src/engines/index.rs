//! The tenant's chunks in LanceDB: one table per tenant and embedding model.

mod filter;
mod maintenance;
mod rows;
mod schema;
mod tables;

use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use futures::TryStreamExt;
use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Embedding, Hit, Index, IndexError, SearchFilter},
};
use lancedb::{
    DistanceType, Table,
    index::scalar::FullTextSearchQuery,
    query::{ExecutableQuery, QueryBase, Select},
};
use tokio::time::timeout;

use self::tables::Tables;

/// Longest search.
const SEARCH_PATIENCE: Duration = Duration::from_secs(10);
/// Longest write, its retries and the maintenance after it included.
const WRITE_PATIENCE: Duration = Duration::from_secs(120);
/// Attempts at a write that loses against another process's commit, besides those LanceDB makes itself.
const WRITE_RETRIES: usize = 6;

#[derive(Debug, Clone, clap::Args)]
pub struct IndexConfig {
    /// Where the tables live: a directory, made when it is missing, or an object store's URI such as s3://bucket/prefix.
    #[arg(long, env = "LANCEDB_URI", default_value = ".metachat/lancedb")]
    pub lancedb_uri: String,
}

/// LanceDB through its Rust library, in process.
///
/// Searches are exact: without a vector index a query reads every vector of its tenant, which stays in the
/// milliseconds up to some ten thousand chunks and loses no recall. Every read looks for commits of other
/// processes first, so a document is found as soon as its job is done, wherever it ran.
pub struct LanceIndex {
    tables: Tables,
}

impl LanceIndex {
    /// `model` and `dimension` are the embedder's: rows of another model live in another table.
    pub async fn connect(config: &IndexConfig, model: &str, dimension: usize) -> anyhow::Result<Self> {
        Ok(Self { tables: Tables::connect(&config.lancedb_uri, model, dimension).await? })
    }

    async fn write<T, F>(&self, work: impl FnMut() -> F) -> Result<T, IndexError>
    where
        F: Future<Output = lancedb::Result<T>>,
    {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(WRITE_RETRIES)
            .with_jitter();
        let attempts = work.retry(backoff).when(is_worth_a_retry).notify(|error, delay| {
            tracing::debug!(%error, ?delay, "retrying a write to the index");
        });
        in_time(WRITE_PATIENCE, attempts).await
    }

    async fn hits(
        &self,
        rows: lancedb::Result<lancedb::arrow::SendableRecordBatchStream>,
        score: rows::Score<'_>,
    ) -> lancedb::Result<Vec<Hit>> {
        let batches: Vec<_> = rows?.try_collect().await?;
        rows::hits(&batches, score)
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
        let table = self.write(|| self.tables.open_or_create(tenant)).await?;
        self.write(|| async {
            let mut merge = table.merge_insert(&["id"]);
            merge.when_matched_update_all(None).when_not_matched_insert_all();
            let reader = arrow_array::RecordBatchIterator::new([Ok(batch.clone())], batch.schema());
            merge.execute(Box::new(reader)).await
        })
        .await?;
        maintenance::tidy(&table, WRITE_PATIENCE).await;
        Ok(())
    }

    async fn remove_below(&self, tenant: TenantId, document: DocumentId, version: i32) -> Result<u64, IndexError> {
        let rows = filter::versions_below(document, version);
        self.write(|| async {
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
        in_time(SEARCH_PATIENCE, async {
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
        self.write(|| async {
            for table in self.tables.all(tenant).await? {
                table.delete(rows.as_str()).await?;
                maintenance::rewrite(&table).await?;
            }
            Ok(())
        })
        .await
    }

    async fn erase_tenant(&self, tenant: TenantId) -> Result<(), IndexError> {
        self.write(|| self.tables.drop_all(tenant)).await
    }

    async fn search_vector(
        &self,
        tenant: TenantId,
        query: &Embedding,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        in_time(SEARCH_PATIENCE, async {
            let Some(table) = self.tables.open(tenant).await? else {
                return Ok(Vec::new());
            };
            let mut search = table.query().limit(limit).select(Select::columns(&schema::FOUND_BY_VECTOR));
            if let Some(filter) = filter::allowed(filter) {
                search = search.only_if(filter);
            }
            let search = search.nearest_to(query.as_ref())?.column("vector").distance_type(DistanceType::Cosine);
            self.hits(search.execute().await, rows::Score::Similarity).await
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
        if !query.contains(char::is_alphanumeric) {
            return Ok(Vec::new());
        }
        in_time(SEARCH_PATIENCE, async {
            let Some(table) = self.tables.open(tenant).await? else {
                return Ok(Vec::new());
            };
            let words = FullTextSearchQuery::new(query.to_owned()).with_column(schema::SEARCHED_TEXT.to_owned())?;
            let mut search =
                table.query().limit(limit).select(Select::columns(&schema::FOUND_BY_TEXT)).full_text_search(words);
            if let Some(filter) = filter::allowed(filter) {
                search = search.only_if(filter);
            }
            self.hits(search.execute().await, rows::Score::Text { vector }).await
        })
        .await
    }
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

/// The full-text index of a table is on this column.
async fn has_text_index(table: &Table) -> lancedb::Result<bool> {
    let indices = table.list_indices().await?;
    Ok(indices.iter().any(|index| index.columns == [schema::SEARCHED_TEXT]))
}
