//! How far a lane is filled from the ledger.

use chrono::DateTime;
use uuid::Uuid;

use crate::{domain::ids::JobId, store::jobs::Position};

/// How far a lane is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Redis lost the lane's data, or, restarted or promoted, may have lost the latest of it.
    Not,
    /// So far, by due time; the rest is on its way.
    Until(Position),
    /// It holds, or has held, every job that was due.
    Wholly,
}

/// The lane's note of how far it was filled, and in which run of its server: `run`, or `run micros id`.
#[derive(Debug, Clone)]
pub struct Epoch {
    run: String,
    note: String,
}

impl Epoch {
    pub(super) fn new(run: String, note: String) -> Self {
        Self { run, note }
    }

    pub(super) fn note(&self) -> &str {
        &self.note
    }

    pub fn filled(&self) -> Filled {
        match self.note.strip_prefix(&self.run) {
            Some("") => Filled::Wholly,
            Some(position) => read(position).map_or(Filled::Not, Filled::Until),
            None => Filled::Not,
        }
    }

    /// The note that says so of this run.
    pub(super) fn noting(&self, filled: Filled) -> String {
        match filled {
            Filled::Not => String::new(),
            Filled::Until((run_at, id)) => format!("{} {} {}", self.run, run_at.timestamp_micros(), id.uuid()),
            Filled::Wholly => self.run.clone(),
        }
    }

    pub(super) fn noted(&mut self, note: String) {
        self.note = note;
    }
}

fn read(position: &str) -> Option<Position> {
    let (micros, id) = position.strip_prefix(' ')?.split_once(' ')?;
    let run_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some((run_at, JobId::from_uuid(Uuid::try_parse(id).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::jobs::START;

    #[test]
    fn a_note_is_read_as_it_was_written_and_not_in_another_run() {
        let position = (DateTime::from_timestamp_micros(1_790_000_000_123_456).unwrap(), JobId::generate());
        for filled in [Filled::Not, Filled::Until(START), Filled::Until(position), Filled::Wholly] {
            let note = Epoch::new("b9463b15".into(), String::new()).noting(filled);
            assert_eq!(Epoch::new("b9463b15".into(), note.clone()).filled(), filled);
            assert_eq!(Epoch::new("77ac01d2".into(), note).filled(), Filled::Not);
        }
    }
}
