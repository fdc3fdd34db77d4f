//! The vocabulary of outcomes: not every error means "try again".

use std::time::Duration;

use crate::{
    domain::secret::OpenError,
    ports::{EmbedError, IndexError},
    store::{OriginalsError, StoreError},
};

/// Proof that a job's effect and its completion are committed; only a committed completion makes one.
#[derive(Debug)]
pub struct Done(pub(super) ());

/// Why a job did not finish.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something that may pass; the kind's policy says when to try again.
    #[error("{0}")]
    Retry(String),
    /// As [`Failure::Retry`], and the other side said when to come back.
    #[error("{cause} (retry after {after:?})")]
    RetryAfter { after: Duration, cause: String },
    /// The product's own store is out of reach: the run does not count.
    #[error("{0}")]
    Outage(String),
    /// Trying again cannot help: to the dead letters.
    #[error("{0}")]
    Abandon(String),
    /// The job is finished, put off or taken over by another worker; this run changes nothing.
    #[error("another run of the job has overtaken this one")]
    Stale,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            error if error.is_outage() => Self::Outage(error.to_string()),
            StoreError::Overtaken => Self::Stale,
            StoreError::Unreadable { .. }
            | StoreError::PayloadTooLarge { .. }
            | StoreError::TenantMissing
            | StoreError::TenantClosed
            | StoreError::Sealed(OpenError::Refused { .. }) => Self::Abandon(error.to_string()),
            // The key may be on its way to this worker.
            StoreError::Sealed(OpenError::UnknownKey { .. }) | StoreError::Constraint(_) | StoreError::Database(_) => {
                Self::Retry(error.to_string())
            }
        }
    }
}

impl From<EmbedError> for Failure {
    fn from(error: EmbedError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<OriginalsError> for Failure {
    fn from(error: OriginalsError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Self::Retry(error.to_string())
    }
}
