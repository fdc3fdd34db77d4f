//! The relay: one process at a time pushes what no lane holds, lets the scheduler have its turns, and reports what the
//! lanes hold.

use std::time::Duration;

use jobs::{
    kinds,
    queue::{
        Lanes,
        relay::{self, RelayError},
    },
    store::{
        Database, Scope, StoreError, SystemTx,
        leadership::{Candidate, Office},
        relay as ledger,
    },
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::scheduler;

/// Between two looks at the ledger: bounds how late a delayed job starts.
const TICK: Duration = Duration::from_millis(200);
/// Between two signs of life of the leader, which Postgres waits for: see [`Candidate`].
const CONFIRM: Duration = Duration::from_millis(200);
/// Between two looks for lanes that lost their data, which are the scheduler's turns too, and two reports of the gauges.
const CHECK: Duration = Duration::from_secs(1);
const REPORT: Duration = Duration::from_secs(5);
/// Longest time one step may take before the leader steps down: a session that is half-open answers never.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries to become the leader, and after an error.
const STAND_BY: Duration = Duration::from_secs(1);
/// Passes of one tick, before the other duties have their turn.
const PASSES: usize = 20;

/// Stands for the office until stopped.
pub(crate) async fn run(database: Database, lanes: Lanes, stop: CancellationToken) {
    let mut leading = false;
    while !stop.is_cancelled() {
        if let Err(error) = stand(&database, &lanes, &stop, &mut leading).await {
            tracing::warn!(%error, leading, "relay interrupted, will stand again");
        }
        leading = false;
        step_down();
        pause(&stop, STAND_BY).await;
    }
}

async fn stand(
    database: &Database,
    lanes: &Lanes,
    stop: &CancellationToken,
    leading: &mut bool,
) -> Result<(), RelayError> {
    let mut candidate = Candidate::new(database, Office::Relay).await?;
    while !candidate.try_take().await? {
        pause(stop, STAND_BY).await;
        if stop.is_cancelled() {
            return Ok(());
        }
    }
    *leading = true;
    tracing::info!("leading the relay");
    metrics::gauge!("metachat_relay_leader").set(1.0);
    lead(database, lanes, stop, &mut candidate).await
}

/// Does the office's duties until stopped, or until the office is lost.
async fn lead(
    database: &Database,
    lanes: &Lanes,
    stop: &CancellationToken,
    candidate: &mut Candidate,
) -> Result<(), RelayError> {
    tokio::select! {
        lost = hold(candidate) => lost,
        ended = serve(database, lanes, stop) => ended,
    }
}

/// Beside the duties, not between them: one of those may take longer than Postgres waits for a sign of life. Returns when
/// the office is lost.
async fn hold(candidate: &mut Candidate) -> Result<(), RelayError> {
    loop {
        within(candidate.confirm()).await?;
        tokio::time::sleep(CONFIRM).await;
    }
}

async fn serve(database: &Database, lanes: &Lanes, stop: &CancellationToken) -> Result<(), RelayError> {
    let kinds = kinds::names();
    let mut check_at = Instant::now();
    let mut report_at = Instant::now();
    let mut overflow = None;
    within(scheduler::register(database)).await?;
    while !stop.is_cancelled() {
        if Instant::now() >= check_at {
            check_at = Instant::now() + CHECK;
            scheduler::turn(database).await;
            let rebuilt = within(relay::rebuild_lost(database, lanes, &kinds)).await?;
            if rebuilt > 0 {
                tracing::warn!(jobs = rebuilt, "lanes had lost their data and are filled again from the ledger");
            }
        }
        for _ in 0..PASSES {
            let read = within(relay::pass(database, lanes, &kinds)).await?;
            if !relay::may_have_more(read) {
                break;
            }
        }
        within(relay::refill(database, lanes, &kinds, &mut overflow)).await?;
        if Instant::now() >= report_at {
            report_at = Instant::now() + REPORT;
            within(report(database, lanes, &kinds)).await?;
            within(scheduler::report(database)).await?;
        }
        pause(stop, TICK).await;
    }
    Ok(())
}

/// Clears what only the leader reports: another process reports it from now on.
fn step_down() {
    metrics::gauge!("metachat_relay_leader").set(0.0);
    metrics::gauge!("metachat_relay_lag_seconds").set(0.0);
    scheduler::step_down();
    for kind in kinds::names() {
        metrics::gauge!("metachat_lane_jobs", "kind" => kind).set(0.0);
        metrics::gauge!("metachat_lane_in_flight", "kind" => kind).set(0.0);
        metrics::gauge!("metachat_jobs_oldest_age_seconds", "kind" => kind).set(0.0);
    }
}

/// Sets the gauges that describe the installation, not this process; other processes report zero,
/// so dashboards take the maximum.
async fn report(database: &Database, lanes: &Lanes, kinds: &[&'static str]) -> Result<(), RelayError> {
    let mut tx: SystemTx = database.system().await?;
    for kind in kinds {
        let stats = lanes.stats(kind).await?;
        let age = ledger::oldest_age_seconds(tx.connection(), kind).await?;
        metrics::gauge!("metachat_lane_jobs", "kind" => *kind).set(stats.held as f64);
        metrics::gauge!("metachat_lane_in_flight", "kind" => *kind).set(stats.in_flight as f64);
        metrics::gauge!("metachat_jobs_oldest_age_seconds", "kind" => *kind).set(age);
    }
    metrics::gauge!("metachat_relay_lag_seconds").set(ledger::lag_seconds(tx.connection()).await?);
    tx.commit().await.map_err(StoreError::into)
}

/// Bounds a step in time.
async fn within<T, E: Into<RelayError>>(step: impl Future<Output = Result<T, E>>) -> Result<T, RelayError> {
    match tokio::time::timeout(STEP_TIMEOUT, step).await {
        Ok(ended) => ended.map_err(Into::into),
        Err(_) => Err(RelayError::Timeout(STEP_TIMEOUT)),
    }
}

async fn pause(stop: &CancellationToken, duration: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(duration) => {}
    }
}
