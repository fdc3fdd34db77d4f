//! How far a lane is filled from the ledger.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::ids::JobId;

/// A place in the order in which a lane is filled: due time, then id.
pub type Position = (DateTime<Utc>, JobId);

/// Before every job.
pub const START: Position = (DateTime::UNIX_EPOCH, JobId::from_uuid(Uuid::nil()));

/// What a lane says of the server that holds it.
#[derive(Debug, Clone)]
pub struct Epoch {
    /// Names the server's run.
    pub run: String,
    pub filled: Filled,
}

/// How far a lane is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It holds, or has held, every job that was due.
    Wholly,
    /// So far; the rest is on its way.
    Until(Position),
}

impl Filled {
    /// Reads what [`fmt::Display`] writes; what cannot be read says that nothing is filled.
    pub fn parse(text: &str) -> Self {
        let position = || {
            let (micros, id) = text.strip_prefix(' ')?.split_once(' ')?;
            let run_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
            Some((run_at, JobId::from_uuid(Uuid::try_parse(id).ok()?)))
        };
        if text.is_empty() { Self::Wholly } else { Self::Until(position().unwrap_or(START)) }
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wholly => Ok(()),
            Self::Until((run_at, id)) => write!(formatter, " {} {}", run_at.timestamp_micros(), id.uuid()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let position = (DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(), JobId::generate());
        for filled in [Filled::Wholly, Filled::Until(START), Filled::Until(position)] {
            assert_eq!(Filled::parse(&filled.to_string()), filled);
        }
        assert_eq!(Filled::parse(" garbage"), Filled::Until(START));
    }
}
