//! Jobs that run once per period, across replicas and restarts.
//!
//! Periods are fixed intervals of UTC. A tick takes the schedules that are due, adds the job of each, keyed by its
//! period, and moves them on to the next period, all in one transaction: a period is taken once.
//!
//! **Catch-up:** periods that passed while nobody ticked collapse into one run, that of the latest period. So a job must
//! do all that is due when it runs, not only what became due within its period.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{job::Job, work};
use crate::store::{
    Database, Scope, StoreError, SystemTx,
    jobs::{self as ledger, NewJob},
    schedules::{self as store, Due},
};

/// A kind of job that runs once per period.
pub trait Periodic: Job {
    /// A period's length.
    const EVERY: Duration;
    /// From the Unix epoch to the start of a period: spreads schedules of one length.
    const PHASE: Duration;

    /// The job of the period that starts then; its key names the period.
    fn of(period: DateTime<Utc>) -> Self;
}

/// When a kind of job runs.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The kind's name.
    pub name: &'static str,
    pub every: Duration,
    pub phase: Duration,
    job: fn(DateTime<Utc>) -> Result<NewJob, StoreError>,
}

impl Schedule {
    pub const fn of<J: Periodic>() -> Self {
        Self {
            name: J::KIND,
            every: J::EVERY,
            phase: J::PHASE,
            job: |period| work::row(&J::of(period), work::RELAY_SOON, None),
        }
    }
}

/// Makes the table say what the code says: a new schedule is due at once, a changed one when its next period begins.
/// A schedule that the code does not know stays, idle: a newer version may have written it.
pub async fn register(database: &Database, schedules: &[Schedule]) -> Result<(), StoreError> {
    let mut tx = SystemTx::begin(database, None).await?;
    for schedule in schedules {
        store::register(tx.connection(), schedule.name, schedule.every, schedule.phase).await?;
    }
    tx.commit().await
}

/// Adds the jobs of all schedules that are due; returns how many. The relay pushes them.
pub async fn tick(database: &Database, schedules: &[Schedule]) -> Result<usize, StoreError> {
    let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.to_owned()).collect();
    let mut tx = SystemTx::begin(database, None).await?;
    let due = store::take_due(tx.connection(), &names).await?;
    let mut jobs = Vec::with_capacity(due.len());
    for Due { name, period } in &due {
        if let Some(schedule) = schedules.iter().find(|schedule| schedule.name == name) {
            jobs.push((schedule.job)(*period)?);
        }
    }
    if !jobs.is_empty() {
        ledger::insert(tx.connection(), jobs).await?;
    }
    tx.commit().await?;
    Ok(due.len())
}
