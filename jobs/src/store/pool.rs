//! Connections of one role, lent to one transaction at a time.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use deadpool::managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult};
use sqlx::{ConnectOptions, Connection, Error, Executor, PgConnection, SqlSafeStr, postgres::PgConnectOptions};
use tokio::{runtime::Handle, time::timeout};

/// Longest wait for a connection before the caller hears of it, the making of one included.
const GET: Duration = Duration::from_secs(5);
/// A connection that was unused for longer is asked whether it lives before it is lent. Asking each time costs every transaction a
/// round trip.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(1);
/// Age at which a connection is made anew, so that what Postgres keeps for it does not grow without end.
const OLD: Duration = Duration::from_secs(30 * 60);
/// Longest time to undo what was left open on a connection, before it is closed instead.
const UNDO: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Pool(managed::Pool<Connections>);

impl Pool {
    /// Makes connections as they are needed, at most so many; `set_role` is the first that each is told.
    pub fn new(options: PgConnectOptions, set_role: &'static str, most: u32) -> Self {
        let connections = Connections { options, set_role };
        // The one used last knows its statements best.
        let builder = managed::Pool::builder(connections).max_size(most as usize).queue_mode(QueueMode::Lifo);
        Self(builder.build().expect("no time-out of the pool's own needs a runtime"))
    }

    /// A connection of one's own, in line with everybody who wants one.
    ///
    /// # Errors
    ///
    /// [`Error::PoolTimedOut`] when none is free within five seconds, or Postgres takes none that long.
    pub async fn lend(&self) -> Result<Loan, Error> {
        match timeout(GET, self.0.get()).await {
            Ok(Ok(connection)) => Ok(Loan(Some(connection))),
            Ok(Err(PoolError::Backend(error))) => Err(error),
            Ok(Err(PoolError::Closed)) => Err(Error::PoolClosed),
            Ok(Err(_)) | Err(_) => Err(Error::PoolTimedOut),
        }
    }

    /// A connection on which a transaction was opened by the statement.
    pub async fn begin(&self, statement: impl SqlSafeStr + Send) -> Result<Loan, Error> {
        let mut loan = self.lend().await?;
        loan.connection().execute(statement.into_sql_str()).await?;
        Ok(loan)
    }

    /// Connections: open and idle.
    pub fn size(&self) -> (u32, usize) {
        let status = self.0.status();
        (u32::try_from(status.size).unwrap_or(u32::MAX), status.available)
    }

    /// Whether every connection that there may be is open and in use.
    pub fn is_taken(&self) -> bool {
        let status = self.0.status();
        status.available == 0 && status.size >= status.max_size
    }

    /// Closes what is idle now, and what is in use when it is given back.
    pub fn close(&self) {
        self.0.close();
    }

    pub fn options(&self) -> &PgConnectOptions {
        &self.0.manager().options
    }
}

/// A connection on loan. One that is dropped may have a transaction open, or a statement cut off in its middle: it is lent again once
/// Postgres has undone that, and closed if it does not.
pub struct Loan(Option<Object<Connections>>);

impl Loan {
    pub fn connection(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("a connection is on loan until it is given back")
    }

    /// Ends the transaction by the statement and gives the connection back.
    pub async fn end(mut self, statement: &'static str) -> Result<(), Error> {
        self.connection().execute(statement).await?;
        self.give_back();
        Ok(())
    }

    /// Gives a connection back on which nothing is open.
    pub fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut connection) = self.0.take() else { return };
        // Without a runtime, nothing is used any more.
        let Ok(runtime) = Handle::try_current() else { return drop(Object::take(connection)) };
        runtime.spawn(async move {
            match timeout(UNDO, connection.execute("rollback")).await {
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => drop(Object::take(connection)),
            }
        });
    }
}

/// How connections are made, and made ready to be lent again.
struct Connections {
    options: PgConnectOptions,
    set_role: &'static str,
}

impl Manager for Connections {
    type Type = PgConnection;
    type Error = Error;

    /// Waits, as long as the caller does, for a Postgres that starts.
    async fn create(&self) -> Result<PgConnection, Error> {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_max_delay(Duration::from_millis(500))
            .without_max_times();
        let mut connection = (|| self.options.connect()).retry(backoff).when(is_starting).await?;
        connection.execute(self.set_role).await?;
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        if metrics.age() > OLD {
            return Err(RecycleError::message("it is old"));
        }
        if metrics.last_used() > DOUBTFUL_AFTER {
            connection.ping().await?;
        }
        Ok(())
    }
}

/// Whether nobody listens yet, or Postgres takes no connection for now: 57P03 while it starts or stops, 53300 with too many.
fn is_starting(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        Error::Database(error) => error.code().is_some_and(|code| matches!(code.as_ref(), "57P03" | "53300")),
        _ => false,
    }
}
