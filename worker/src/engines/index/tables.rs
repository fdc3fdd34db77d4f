//! Open tables of the tenants.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use jobs::{domain::ids::TenantId, ports::Collection};
use lance::dataset::{CommitBuilder, InsertBuilder, WriteParams};
use lancedb::{
    Connection, Error, ObjectStoreRegistry, Session, Table,
    index::{Index, scalar::FtsIndexBuilder},
};
use moka::future::Cache;

use super::{maintenance, schema};

/// Tables of one tenant, one per model that was ever used, at most.
const MODELS: u32 = 100;
/// Tables kept open.
const OPEN_TABLES: u64 = 512;
/// A table not used for this long is closed.
pub const IDLE: Duration = Duration::from_secs(15 * 60);
/// Memory for index pages and for table metadata, shared by all tables, in bytes.
const INDEX_CACHE: usize = 256 * 1024 * 1024;
const METADATA_CACHE: usize = 128 * 1024 * 1024;

pub struct Tables {
    uri: String,
    session: Arc<Session>,
    connection: Connection,
    /// By name.
    open: Cache<String, Table>,
}

impl Tables {
    pub async fn connect(uri: &str) -> anyhow::Result<Self> {
        let session = Arc::new(Session::new(INDEX_CACHE, METADATA_CACHE, Arc::new(ObjectStoreRegistry::default())));
        let connection = lancedb::connect(uri)
            .session(Arc::clone(&session))
            .read_consistency_interval(Duration::ZERO)
            .execute()
            .await
            .with_context(|| format!("LANCEDB_URI {uri}"))?;
        let open = Cache::builder().max_capacity(OPEN_TABLES).time_to_idle(IDLE).build();
        Ok(Self { uri: uri.trim_end_matches('/').to_owned(), session, connection, open })
    }

    /// The collection's table; `None` when nothing was ever added.
    pub async fn open(&self, collection: Collection<'_>) -> lancedb::Result<Option<Table>> {
        self.open_named(name(collection)).await
    }

    async fn open_named(&self, name: String) -> lancedb::Result<Option<Table>> {
        if let Some(table) = self.open.get(&name).await {
            return Ok(Some(table));
        }
        match self.connection.open_table(&name).execute().await {
            Ok(table) => {
                self.open.insert(name, table.clone()).await;
                Ok(Some(table))
            }
            Err(Error::TableNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The collection's table with its indices, made when missing. Two processes may do so at once: the second finds the first
    /// one's table, and an index is made again only when it is not there.
    pub async fn open_or_create(&self, collection: Collection<'_>, schema: &SchemaRef) -> lancedb::Result<Table> {
        let table = match self.open(collection).await? {
            Some(table) => table,
            None => self.create(collection, schema).await?,
        };
        if !maintenance::has_index(&table, schema::WORDS).await? {
            // The terms are made by words.rs: nothing is left to do but to split them.
            let terms = FtsIndexBuilder::default()
                .base_tokenizer("whitespace".to_owned())
                .with_position(false)
                .lower_case(false)
                .max_token_length(None)
                .stem(false)
                .remove_stop_words(false)
                .ascii_folding(false);
            table.create_index(&[schema::WORDS], Index::FTS(terms)).replace(false).execute().await?;
        }
        self.open.insert(name(collection), table.clone()).await;
        Ok(table)
    }

    /// An empty table, or the one that another process has made meanwhile.
    ///
    /// LanceDB looks whether there is a table and then commits a new one over whatever is there by then: two processes that
    /// add a tenant's first documents at once could lose what the faster one had added. A commit without a retry succeeds
    /// as the first version of a table only.
    async fn create(&self, collection: Collection<'_>, schema: &SchemaRef) -> lancedb::Result<Table> {
        let uri = format!("{}/{}.lance", self.uri, name(collection));
        let params = WriteParams { session: Some(Arc::clone(&self.session)), ..WriteParams::default() };
        let format = params.data_storage_version.unwrap_or_default();
        let nothing = vec![RecordBatch::new_empty(Arc::clone(schema))];
        let made = async {
            let create = InsertBuilder::new(uri.as_str()).with_params(&params).execute_uncommitted(nothing).await?;
            let commit = CommitBuilder::new(uri.as_str()).with_session(Arc::clone(&self.session));
            commit.with_storage_format(format).with_max_retries(0).execute(create).await
        };
        let made = made.await;
        match (self.open(collection).await?, made) {
            (Some(table), _) => Ok(table),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Err(Error::TableNotFound { name: uri, source: "it was dropped at once".into() }),
        }
    }

    /// Lets go of the tenant's tables.
    pub async fn close(&self, tenant: TenantId) {
        let prefix = prefix(tenant);
        let names = self.open.iter().map(|(name, _)| name).filter(|name| name.starts_with(&prefix));
        for name in names.collect::<Vec<_>>() {
            self.open.invalidate(name.as_str()).await;
        }
    }

    /// The tenant's tables, whatever model made them.
    pub async fn all(&self, tenant: TenantId) -> lancedb::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for name in self.names(tenant).await? {
            // One that is not found was dropped by another process since it was listed.
            tables.extend(self.open_named(name).await?);
        }
        Ok(tables)
    }

    /// Removes the tenant's tables, but those of some models, with their files; returns how many.
    pub async fn drop_others(&self, tenant: TenantId, models: &[&str]) -> lancedb::Result<usize> {
        let kept: Vec<String> = models.iter().map(|model| name(Collection { tenant, model })).collect();
        let mut dropped = 0;
        for name in self.names(tenant).await?.into_iter().filter(|name| !kept.contains(name)) {
            self.open.invalidate(&name).await;
            match self.connection.drop_table(name, &[]).await {
                Ok(()) => dropped += 1,
                Err(Error::TableNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    async fn names(&self, tenant: TenantId) -> lancedb::Result<Vec<String>> {
        let prefix = prefix(tenant);
        let mut names = self.connection.table_names().start_after(&prefix).limit(MODELS).execute().await?;
        names.retain(|name| name.starts_with(&prefix));
        Ok(names)
    }
}

/// `{tenant}_{model}`: the tenant is part of the name, so no filter can reach across.
fn name(Collection { tenant, model }: Collection<'_>) -> String {
    let slug = model.chars().map(|mark| if mark.is_ascii_alphanumeric() { mark.to_ascii_lowercase() } else { '_' });
    prefix(tenant) + &slug.collect::<String>()
}

/// Whether a table, by its URI, is a tenant's.
pub fn is_of(uri: &str, tenant: TenantId) -> bool {
    uri.rsplit('/').next().is_some_and(|name| name.starts_with(&prefix(tenant)))
}

fn prefix(tenant: TenantId) -> String {
    format!("{}_", tenant.uuid().simple())
}
