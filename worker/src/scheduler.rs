//! The scheduler's turns, taken by the relay's leader.

use std::time::Duration;

use jobs::{
    kinds,
    queue::schedule,
    store::{
        Database, Scope, StoreError, SystemTx,
        partitions::{self, Parent},
        schedules,
    },
};

/// Longest turn; a slow one must not hold up the relay for long.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the table of schedules say what this version says.
pub(crate) async fn register(database: &Database) -> Result<(), StoreError> {
    schedule::register(database, &kinds::schedules()).await
}

/// Adds the jobs of the schedules that are due. A failure is told and left to the next turn: the relay's own duties do
/// not depend on it.
pub(crate) async fn turn(database: &Database) {
    match tokio::time::timeout(TURN_TIMEOUT, schedule::tick(database, &kinds::schedules())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "schedules were not looked at"),
        Err(_) => tracing::warn!("schedules were not looked at within {TURN_TIMEOUT:?}"),
    }
}

/// Sets the gauges of the schedules and of the partitions that the first of them keeps.
pub(crate) async fn report(database: &Database) -> Result<(), StoreError> {
    let mut tx: SystemTx = database.system().await?;
    let standings = schedules::standings(tx.connection()).await?;
    let defaults = partitions::defaults_in_use(tx.connection()).await?;
    tx.commit().await?;
    for schedule in kinds::schedules() {
        if let Some(standing) = standings.iter().find(|standing| standing.name == schedule.name) {
            metrics::gauge!("metachat_schedule_period_seconds", "schedule" => schedule.name)
                .set(standing.every_seconds);
            metrics::gauge!("metachat_schedule_last_success_seconds", "schedule" => schedule.name)
                .set(standing.last_success);
        }
    }
    for (table, in_use) in defaults {
        metrics::gauge!("metachat_default_partition_in_use", "table" => table).set(f64::from(u8::from(in_use)));
    }
    Ok(())
}

/// Clears what only the leader reports.
pub(crate) fn step_down() {
    for schedule in kinds::schedules() {
        metrics::gauge!("metachat_schedule_period_seconds", "schedule" => schedule.name).set(0.0);
        metrics::gauge!("metachat_schedule_last_success_seconds", "schedule" => schedule.name).set(0.0);
    }
    for table in Parent::ALL {
        metrics::gauge!("metachat_default_partition_in_use", "table" => table.as_str()).set(0.0);
    }
}
