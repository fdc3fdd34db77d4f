//! Pools of the two roles, and the transactions that everything runs in.

use async_trait::async_trait;
use log::LevelFilter;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use super::{
    StoreError,
    pool::{Pool, Session},
};
use crate::domain::ids::TenantId;

static MIGRATOR: Migrator = sqlx::migrate!("../migrations");

/// Postgres ends a statement that runs longer; every hot query takes milliseconds.
const STATEMENT_TIMEOUT: &str = "15s";
/// Postgres ends a transaction left open by a stalled process, so that its locks do not outlive its lease.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "15s";
/// Longest silence of a session that holds a lock.
const SILENCE: &str = "5s";
/// Connections of the system role a process needs: key look-up, relay, billing.
const SYSTEM_CONNECTIONS: u32 = 4;

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://…` of a login that may switch to the roles `metachat_app` and `metachat_system`.
    pub url: String,
    /// Most connections of the application role.
    pub max_connections: u32,
}

/// A process' connections.
#[derive(Clone)]
pub struct Database {
    app: Pool,
    system: Pool,
}

impl Database {
    /// Prepares the pools; connections are opened when first needed.
    pub fn connect(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::prepare(config, "auto")
    }

    /// As [`Database::connect`], for a process that runs jobs, whose queries are few, and repeated all the time. A plan for a
    /// query's very parameters reads fewer of the months that messages are partitioned by, so Postgres would make one at every call:
    /// 0.2 ms each, a quarter of an answer's time in it. A plan for all skips those months as it runs. Lists with filters that may
    /// be absent, which the api and the platform read, need plans of their own.
    pub fn connect_for_jobs(config: &DatabaseConfig) -> Result<Self, StoreError> {
        Self::prepare(config, "force_generic_plan")
    }

    fn prepare(config: &DatabaseConfig, plans: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = config.url.parse::<PgConnectOptions>()?.options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            // The ledger's table is mostly empty, so a plan made then reads all of it, and is kept while it fills.
            ("enable_seqscan", "off"),
            // What reads a small table whole then looks costly enough to be compiled, which takes 50 ms.
            ("jit", "off"),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            // A host that vanishes without a word loses its locks, the relay's among them, within 15 seconds.
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "3"),
            ("tcp_keepalives_count", "3"),
            ("tcp_user_timeout", "15000"),
            ("plan_cache_mode", plans),
        ]);
        // Only slow statements are worth a line, and whether others are wanted would be asked for each of them.
        let options = options.log_statements(LevelFilter::Off);
        Ok(Self {
            app: Pool::new(options.clone(), "set role metachat_app", config.max_connections),
            system: Pool::new(options, "set role metachat_system", SYSTEM_CONNECTIONS),
        })
    }

    /// Opens a transaction that sees one tenant's rows. One that only read is dropped, not committed: nobody waits for its end, which
    /// travels with the connection's way back into the pool.
    pub async fn tenant(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        self.open(tenant, "").await
    }

    /// As [`Database::tenant`], for statements that find their rows by key and are repeated for every message: they run by the plan
    /// that was made for the first, as in a process that runs jobs.
    pub async fn tenant_by_key(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        self.open(tenant, "; set local plan_cache_mode = force_generic_plan").await
    }

    async fn open(&self, tenant: TenantId, settings: &'static str) -> Result<TenantTx, StoreError> {
        // One round trip; the id is typed, so the statement cannot carry anything else.
        let statement = format!("begin; set local app.tenant_id = '{}'{settings}", tenant.uuid());
        Ok(TenantTx { tenant, tx: self.app.begin(AssertSqlSafe(statement)).await? })
    }

    /// Opens a transaction that sees every tenant's rows.
    pub async fn system(&self) -> Result<SystemTx, StoreError> {
        Ok(SystemTx { tx: self.system.begin("begin").await? })
    }

    /// A connection of the system role, for single statements that need no transaction around them.
    pub(crate) async fn system_connection(&self) -> Result<Session, StoreError> {
        self.system.acquire().await
    }

    /// A system connection outside the pool, for a lock held as long as the session lives. Postgres ends it when
    /// nothing was asked in it for [`SILENCE`]: a process that is stopped keeps its connections, not its locks.
    pub async fn system_session(&self) -> Result<PgConnection, StoreError> {
        let options = self.system.options().clone().options([("idle_session_timeout", SILENCE)]);
        let mut session = options.connect().await?;
        sqlx::query("set role metachat_system").execute(&mut session).await?;
        Ok(session)
    }

    /// Whether Postgres answers and has the schema.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut session = self.app.acquire().await?;
        sqlx::query("select 1 from jobs limit 1").execute(session.connection()).await?;
        session.give_back();
        Ok(())
    }

    /// Waits for a connection of the application role, in line with everybody who does.
    pub async fn await_connection(&self) -> Result<(), StoreError> {
        self.app.acquire().await?.give_back();
        Ok(())
    }

    /// Whether every connection that the application role may have is open and in use.
    pub fn is_taken(&self) -> bool {
        self.app.is_taken()
    }

    /// Connections of the application role: open and idle.
    pub fn pool_size(&self) -> (usize, usize) {
        self.app.size()
    }

    pub async fn close(&self) {
        self.app.close().await;
        self.system.close().await;
    }
}

/// Brings the schema up to date, as the login role, and creates partitions ahead: messages' and the API log's for a
/// year, the job history's for 35 days.
///
/// Not the present ones: should they be missing, their rows are in the default partition, and creating them is refused.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    let mut owner = PgConnection::connect(url).await?;
    // What exists already is no news.
    sqlx::query("set client_min_messages = warning").execute(&mut owner).await?;
    MIGRATOR.run(&mut owner).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        error => StoreError::from(sqlx::Error::from(error)),
    })?;
    for parent in ["messages", "api_logs"] {
        sqlx::query("call create_month_partitions($1, (current_date + interval '1 month')::date, 12)")
            .bind(parent)
            .execute(&mut owner)
            .await?;
    }
    sqlx::query("call create_job_history_partitions(current_date + 1, 35)").execute(&mut owner).await?;
    Ok(())
}

/// A transaction that work of one kind runs in.
#[async_trait]
pub trait Scope: Send + Sized {
    async fn begin(database: &Database, tenant: Option<TenantId>) -> Result<Self, StoreError>;
    /// The tenant whose rows it is confined to.
    fn owner(&self) -> Option<TenantId>;
    fn connection(&mut self) -> &mut PgConnection;
    async fn commit(self) -> Result<(), StoreError>;
    /// Undoes everything and gives the locks back, before it returns. Dropping does so some time later.
    async fn rollback(self) -> Result<(), StoreError>;
}

/// A transaction of the application role, confined to one tenant by row-level security.
pub struct TenantTx {
    tenant: TenantId,
    tx: Session,
}

impl TenantTx {
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }
}

#[async_trait]
impl Scope for TenantTx {
    async fn begin(database: &Database, tenant: Option<TenantId>) -> Result<Self, StoreError> {
        database.tenant(tenant.ok_or(StoreError::TenantMissing)?).await
    }

    fn owner(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.tx.connection()
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }

    async fn rollback(self) -> Result<(), StoreError> {
        self.tx.rollback().await
    }
}

/// A transaction of the system role, which sees all tenants.
pub struct SystemTx {
    tx: Session,
}

#[async_trait]
impl Scope for SystemTx {
    async fn begin(database: &Database, _: Option<TenantId>) -> Result<Self, StoreError> {
        database.system().await
    }

    fn owner(&self) -> Option<TenantId> {
        None
    }

    fn connection(&mut self) -> &mut PgConnection {
        self.tx.connection()
    }

    async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }

    async fn rollback(self) -> Result<(), StoreError> {
        self.tx.rollback().await
    }
}
