//! What can go wrong in the store, by what the caller can do about it.

use crate::domain::secret::OpenError;

/// A failed statement.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A named constraint refused the rows; each name maps to a client error.
    #[error("constraint {0} violated")]
    Constraint(String),
    /// A stored value that this version cannot read.
    #[error("unreadable value in {column}: {value}")]
    Unreadable { column: &'static str, value: String },
    /// A job's payload that is not taken into the ledger; sizes in bytes of JSON.
    #[error("the payload of a job of kind {kind} has {size} bytes, at most {limit} are taken")]
    PayloadTooLarge { kind: &'static str, size: usize, limit: usize },
    /// A tenant-owned operation was asked for without a tenant.
    #[error("a tenant is required")]
    TenantMissing,
    /// The tenant is disabled or being erased, and takes no new work.
    #[error("the tenant takes no new work")]
    TenantClosed,
    /// The job that a transaction was to end is not this run's to end any more.
    #[error("another run of the job has overtaken this one")]
    Overtaken,
    /// A stored secret that cannot be opened.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|refused| refused.constraint()) {
            Some(name) => Self::Constraint(name.to_owned()),
            None => Self::Database(error),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable { column: "json", value: error.to_string() }
    }
}

impl StoreError {
    /// Whether the database was out of reach, so that the same statement may pass later.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => true,
            // Class 08 is a lost connection, 57 an operator's intervention (shutdown, start-up), 53 resources. 57014 is the
            // statement's own time-out, which may be the statement's own fault.
            Self::Database(sqlx::Error::Database(refused)) => refused
                .code()
                .is_some_and(|code| code != "57014" && ["08", "57", "53"].iter().any(|class| code.starts_with(class))),
            _ => false,
        }
    }
}
