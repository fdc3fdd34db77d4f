//! Connections of one role, and the transactions on them.
//!
//! sqlx's own pool asks the server once more as each connection comes back, in a task of its own, and hands them out in turn. Here
//! one whose transaction has ended well goes back as it is, and is the next to go out: seven round trips less for a message, and
//! few of the server's processes with everything at hand.

use std::{io, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use deadpool::managed::{
    Manager, Metrics, Object, Pool as Managed, PoolConfig, PoolError, QueueMode, RecycleError, RecycleResult,
};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, SqlSafeStr, postgres::PgConnectOptions};
use tokio::{runtime::Handle, time::timeout};

use super::StoreError;

/// Longest wait for a free connection before the caller hears of it.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was last given out longer ago is asked whether it lives first.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(1);
/// A connection is not given out again after this; the server's memory for one only grows.
const LIFETIME: Duration = Duration::from_secs(30 * 60);
/// What is left of a rush hour is closed.
const UNUSED: Duration = Duration::from_secs(10 * 60);
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Waits between tries to reach a server that is starting.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(1);
/// Longest wait for the end of a transaction that its owner left; the connection is closed then.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections that act in a role.
struct Connections {
    options: PgConnectOptions,
    set_role: &'static str,
}

impl Connections {
    async fn open(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options.connect().await?;
        connection.execute(self.set_role).await?;
        Ok(connection)
    }
}

impl Manager for Connections {
    type Type = PgConnection;
    type Error = sqlx::Error;

    /// Goes on trying while nobody listens or the server starts; who asks for the connection bounds it.
    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        let pace = ExponentialBuilder::new().with_min_delay(RETRY).with_max_delay(RETRY_CAP).without_max_times();
        (|| self.open()).retry(pace).when(may_come_up).await
    }

    async fn recycle(&self, connection: &mut PgConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        if metrics.age() > LIFETIME {
            return Err(RecycleError::message("old enough"));
        }
        if metrics.last_used() > DOUBTFUL_AFTER {
            connection.ping().await?;
        }
        Ok(())
    }
}

fn may_come_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        // The server starts or stops, or has no place left.
        sqlx::Error::Database(refused) => matches!(refused.code().as_deref(), Some("57P03" | "53300")),
        _ => false,
    }
}

/// Connections of one role, opened when first needed.
#[derive(Clone)]
pub(super) struct Pool {
    connections: Managed<Connections>,
}

impl Pool {
    /// `set_role` is the statement that makes a connection act in the role.
    pub(super) fn new(options: PgConnectOptions, set_role: &'static str, most: u32) -> Self {
        let config = PoolConfig { queue_mode: QueueMode::Lifo, ..PoolConfig::new(most as usize) };
        let connections = Managed::builder(Connections { options, set_role })
            .config(config)
            .build()
            .expect("the pool itself bounds no time, so it needs no runtime");
        tokio::spawn(close_unused(connections.clone()));
        Self { connections }
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.connections.manager().options
    }

    /// A connection without a transaction, in line with everybody who waits for one.
    pub(super) async fn acquire(&self) -> Result<Session, StoreError> {
        match timeout(ACQUIRE_TIMEOUT, self.connections.get()).await {
            Ok(Ok(connection)) => Ok(Session(Some(connection))),
            Ok(Err(PoolError::Backend(error))) => Err(error.into()),
            Ok(Err(PoolError::Closed)) => Err(sqlx::Error::PoolClosed.into()),
            Ok(Err(_)) | Err(_) => Err(sqlx::Error::PoolTimedOut.into()),
        }
    }

    /// Opens a transaction by a statement that begins with `begin`.
    pub(super) async fn begin(&self, statement: impl SqlSafeStr + Send) -> Result<Session, StoreError> {
        let mut session = self.acquire().await?;
        session.connection().execute(statement.into_sql_str()).await?;
        Ok(session)
    }

    /// Connections that are open, and those among them that nobody has.
    pub(super) fn size(&self) -> (usize, usize) {
        let status = self.connections.status();
        (status.size, status.available)
    }

    /// Whether every connection that there may be is open and in use.
    pub(super) fn is_taken(&self) -> bool {
        let status = self.connections.status();
        status.available == 0 && status.size >= status.max_size
    }

    /// Gives out no more, and takes leave of the server.
    pub(super) async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        take_leave(idle).await;
    }
}

/// Ends with the pool.
async fn close_unused(connections: Managed<Connections>) {
    let pool = connections.weak();
    drop(connections);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) else { return };
        take_leave(pool.retain(|_, metrics| metrics.last_used() < UNUSED && metrics.age() < LIFETIME).removed).await;
    }
}

async fn take_leave(connections: Vec<PgConnection>) {
    for connection in connections {
        // The server ends what does not hear this.
        let _ = timeout(ROLLBACK_TIMEOUT, connection.close()).await;
    }
}

/// A connection out of the pool, until it is given back. One that is dropped instead goes back in the background, when what is left of
/// a transaction or a statement is undone.
pub(crate) struct Session(Option<Object<Connections>>);

impl Session {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a session has its connection until it ends")
    }

    /// Gives the connection back: all that was asked went well, and no transaction is open.
    pub(crate) fn give_back(mut self) {
        self.0 = None;
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.end("COMMIT").await
    }

    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), StoreError> {
        self.connection().execute(statement).await?;
        self.give_back();
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.0.take() else { return };
        let Ok(runtime) = Handle::try_current() else {
            drop(Object::take(connection));
            return;
        };
        runtime.spawn(async move {
            match timeout(ROLLBACK_TIMEOUT, connection.execute("ROLLBACK")).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => drop(Object::take(connection)),
            }
        });
    }
}
