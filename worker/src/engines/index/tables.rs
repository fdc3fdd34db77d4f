//! Open tables of the tenants.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use arrow_schema::SchemaRef;
use jobs::domain::ids::TenantId;
use lancedb::{
    Connection, Error, ObjectStoreRegistry, Session, Table,
    database::CreateTableMode,
    index::{Index, scalar::FtsIndexBuilder},
};
use moka::future::Cache;

use super::{maintenance, schema};

/// Tables of one tenant, one per model that was ever used, at most.
const MODELS: u32 = 100;
/// Tables kept open.
const OPEN_TABLES: u64 = 512;
/// A table not used for this long is closed.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// Memory for index pages and for table metadata, shared by all tables, in bytes.
const INDEX_CACHE: usize = 256 * 1024 * 1024;
const METADATA_CACHE: usize = 128 * 1024 * 1024;

pub struct Tables {
    connection: Connection,
    model: String,
    schema: SchemaRef,
    open: Cache<TenantId, Table>,
}

impl Tables {
    pub async fn connect(uri: &str, model: &str, dimension: usize) -> anyhow::Result<Self> {
        let session = Session::new(INDEX_CACHE, METADATA_CACHE, Arc::new(ObjectStoreRegistry::default()));
        let connection = lancedb::connect(uri)
            .session(Arc::new(session))
            .read_consistency_interval(Duration::ZERO)
            .execute()
            .await
            .with_context(|| format!("LANCEDB_URI {uri}"))?;
        let open = Cache::builder().max_capacity(OPEN_TABLES).time_to_idle(IDLE).build();
        Ok(Self { connection, model: model.to_owned(), schema: schema::schema(dimension), open })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn model(&self) -> &str {
        &self.model
    }

    /// The tenant's table; `None` when nothing was ever added.
    pub async fn open(&self, tenant: TenantId) -> lancedb::Result<Option<Table>> {
        if let Some(table) = self.open.get(&tenant).await {
            return Ok(Some(table));
        }
        match self.connection.open_table(self.name(tenant)).execute().await {
            Ok(table) => {
                self.open.insert(tenant, table.clone()).await;
                Ok(Some(table))
            }
            Err(Error::TableNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The tenant's table with its full-text index, made when missing. Two processes may do so at once: the second
    /// finds the first one's table, and the index is made again only when it is not there.
    pub async fn open_or_create(&self, tenant: TenantId) -> lancedb::Result<Table> {
        let table = match self.open(tenant).await? {
            Some(table) => table,
            None => {
                let create = self.connection.create_empty_table(self.name(tenant), Arc::clone(&self.schema));
                create.mode(CreateTableMode::exist_ok(|request| request)).execute().await?
            }
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
        self.open.insert(tenant, table.clone()).await;
        Ok(table)
    }

    /// Lets go of the tenant's table.
    pub async fn close(&self, tenant: TenantId) {
        self.open.invalidate(&tenant).await;
    }

    /// The tenant's tables, whatever model made them.
    pub async fn all(&self, tenant: TenantId) -> lancedb::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for name in self.names(tenant).await? {
            match self.connection.open_table(name).execute().await {
                Ok(table) => tables.push(table),
                // Dropped by another process since it was listed.
                Err(Error::TableNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tables)
    }

    /// Removes the tenant's tables with their files.
    pub async fn drop_all(&self, tenant: TenantId) -> lancedb::Result<()> {
        self.close(tenant).await;
        for name in self.names(tenant).await? {
            match self.connection.drop_table(name, &[]).await {
                Ok(()) | Err(Error::TableNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn names(&self, tenant: TenantId) -> lancedb::Result<Vec<String>> {
        let prefix = format!("{}_", tenant.uuid().simple());
        let mut names = self.connection.table_names().start_after(&prefix).limit(MODELS).execute().await?;
        names.retain(|name| name.starts_with(&prefix));
        Ok(names)
    }

    /// `{tenant}_{model}`: the tenant is part of the name, so no filter can reach across.
    fn name(&self, tenant: TenantId) -> String {
        let model = self.model.to_lowercase();
        let slug: String = model.chars().map(|mark| if mark.is_ascii_alphanumeric() { mark } else { '_' }).collect();
        format!("{}_{slug}", tenant.uuid().simple())
    }
}
