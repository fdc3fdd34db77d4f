//! Pushes what no lane holds: jobs put off until now, pushes that were lost, what found no room, and everything after
//! Redis lost its data.

use std::{collections::HashMap, time::Duration};

use chrono::{TimeDelta, Utc};

use super::{
    envelope::Envelope,
    lanes::{Filled, Lanes, Pushed},
};
use crate::store::{
    Database, Scope, StoreError, SystemTx,
    jobs::{self as ledger, JobRow, START},
    relay::{self as store, Overflow},
};

/// Rows one pass reads at most.
const BATCH: i64 = 500;
/// When a row is looked at again that the lane holds. Nothing should be lost from a lane unnoticed; should it be all
/// the same, this bounds the delay.
const QUEUED_AGAIN: Duration = Duration::from_secs(300);
/// When a row is looked at again whose job is running.
const RUNNING_AGAIN: Duration = Duration::from_secs(5);
/// As [`QUEUED_AGAIN`], for a row that waits for room in its lane: [`refill`] takes it long before.
const PARKED_AGAIN: Duration = Duration::from_secs(3600);
/// Batches of a lane that lost its data which one call pushes: some seconds' work, so that the leader shows itself between.
const REBUILD: usize = 10;
/// Tenants with an overflow that one refill looks at; the next one goes on after them.
const OVERFLOWS: i64 = 100;
/// When a row of an unknown kind is looked at again, and how long it may wait for a version that knows it.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(30);
const UNKNOWN_PATIENCE: TimeDelta = TimeDelta::days(1);

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Pushes one batch of due rows; returns how many were read. Fewer than the batch size means that all are pushed.
pub async fn pass(database: &Database, lanes: &Lanes, kinds: &[&'static str]) -> Result<usize, RelayError> {
    let mut tx = SystemTx::begin(database, None).await?;
    let rows = store::due(tx.connection(), BATCH).await?;
    tx.commit().await?;
    let read = rows.len();

    let mut by_kind: HashMap<&'static str, Vec<JobRow>> = HashMap::new();
    let mut unknown = Vec::new();
    for row in rows {
        match kinds.iter().find(|kind| **kind == row.kind) {
            Some(kind) => by_kind.entry(kind).or_default().push(row),
            None => unknown.push(row),
        }
    }
    for (kind, rows) in by_kind {
        push(database, lanes, kind, rows).await?;
    }
    bury_unknown(database, unknown).await?;
    Ok(read)
}

/// Whether a pass that read this many rows may have left some.
pub fn may_have_more(read: usize) -> bool {
    read as i64 == BATCH
}

async fn push(database: &Database, lanes: &Lanes, kind: &str, rows: Vec<JobRow>) -> Result<(), RelayError> {
    let seen: Vec<_> = rows.iter().map(|row| (row.id, row.relay_at)).collect();
    let envelopes: Vec<Envelope> = rows.into_iter().map(Envelope::relayed).collect();
    let pushed = lanes.push(kind, &envelopes).await?;
    let mut tx = SystemTx::begin(database, None).await?;
    for (outcome, again_in) in
        [(Pushed::Queued, QUEUED_AGAIN), (Pushed::Running, RUNNING_AGAIN), (Pushed::Full, PARKED_AGAIN)]
    {
        let rows: Vec<_> =
            seen.iter().zip(&pushed).filter(|(_, pushed)| **pushed == outcome).map(|(row, _)| *row).collect();
        if !rows.is_empty() {
            store::postpone(tx.connection(), &rows, again_in, outcome == Pushed::Full).await?;
        }
    }
    tx.commit().await?;
    metrics::counter!("metachat_relay_pushed_total").increment(seen.len() as u64);
    Ok(())
}

/// Jobs of a kind that this version does not know are left to one that does, as in a rolling deploy. After
/// [`UNKNOWN_PATIENCE`] they go to the dead letters, where they can be replayed.
async fn bury_unknown(database: &Database, rows: Vec<JobRow>) -> Result<(), RelayError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut tx = SystemTx::begin(database, None).await?;
    for row in rows {
        if Utc::now() - row.id.created_at() < UNKNOWN_PATIENCE {
            store::postpone(tx.connection(), &[(row.id, row.relay_at)], UNKNOWN_AGAIN, false).await?;
            continue;
        }
        let cause = format!("unknown kind {:?}", row.kind);
        tracing::error!(job = %row.id, cause, "job buried");
        ledger::bury(tx.connection(), row.id, i64::MAX, &cause).await?;
        metrics::counter!("metachat_jobs_total", "kind" => "unknown", "outcome" => "dead").increment(1);
    }
    Ok(tx.commit().await?)
}

/// Gives the jobs that wait for room to lanes that have some again; returns how many. Work in proportion to the
/// tenants that overflow and to the room they have, not to what waits.
pub async fn refill(
    database: &Database,
    lanes: &Lanes,
    kinds: &[&'static str],
    after: &mut Option<Overflow>,
) -> Result<usize, RelayError> {
    let mut tx = SystemTx::begin(database, None).await?;
    let overflows = store::overflows(tx.connection(), after.as_ref(), OVERFLOWS).await?;
    tx.commit().await?;
    *after = if overflows.len() as i64 == OVERFLOWS { overflows.last().cloned() } else { None };
    let mut taken = 0;
    for overflow in overflows {
        let Some(kind) = kinds.iter().find(|kind| **kind == overflow.kind) else { continue };
        let room = lanes.room(kind, overflow.tenant).await?;
        if room == 0 {
            continue;
        }
        let mut tx = SystemTx::begin(database, None).await?;
        let rows = store::parked(tx.connection(), &overflow, room as i64).await?;
        tx.commit().await?;
        taken += rows.len();
        push(database, lanes, kind, rows).await?;
    }
    Ok(taken)
}

/// Goes on with filling the lanes that lost their data from the ledger, at most [`REBUILD`] batches of each; returns the
/// jobs pushed.
///
/// The lane itself notes how far it is filled, so that the next call, or the next leader, goes on there. Pushes of jobs
/// that are held change nothing, so a crash before the note costs a batch's work and no more. A lane that is wiped
/// meanwhile loses its note, and begins anew.
pub async fn rebuild_lost(database: &Database, lanes: &Lanes, kinds: &[&'static str]) -> Result<usize, RelayError> {
    let mut pushed = 0;
    for kind in kinds {
        let mut epoch = lanes.epoch(kind).await?;
        if epoch.filled() == Filled::Not && !lanes.note(kind, &mut epoch, Filled::Until(START)).await? {
            continue;
        }
        for _ in 0..REBUILD {
            let Filled::Until(after) = epoch.filled() else { break };
            let mut tx = SystemTx::begin(database, None).await?;
            let rows = store::due_after(tx.connection(), kind, after, BATCH).await?;
            tx.commit().await?;
            let filled = match rows.last() {
                Some(last) if may_have_more(rows.len()) => Filled::Until((last.run_at, last.id)),
                _ => Filled::Wholly,
            };
            if !rows.is_empty() {
                pushed += rows.len();
                push(database, lanes, kind, rows).await?;
            }
            if !lanes.note(kind, &mut epoch, filled).await? {
                break;
            }
        }
    }
    Ok(pushed)
}
