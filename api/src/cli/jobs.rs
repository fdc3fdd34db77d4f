//! `metachat jobs …`

use chrono::Utc;
use clap::{Args, Subcommand};
use jobs::{
    domain::ids::{JobId, ReplayId},
    kinds,
    store::{
        Database, Scope,
        dead_jobs::{self, Position},
        job_counts,
        replays::{self, State},
    },
};

use super::{Failure, replay, selection::Selection, show};
use crate::cursor;

/// Rows deleted in one transaction.
const DISCARD_BATCH: i64 = 1_000;
/// Names the list in its cursors.
const LIST: &str = "cli-dead-jobs";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lists dead jobs, the latest death first.
    List {
        #[command(flatten)]
        selection: Selection,
        /// Rows of the page.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// The page after another one, which ended with it.
        #[arg(long)]
        cursor: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Shows a dead job with its payload, or how far a replay has come.
    Show {
        /// `job_…` or `rpl_…`
        id: String,
        #[arg(long)]
        json: bool,
    },
    /// Runs dead jobs again, behind fresh work: one by its id, or those of a filter, so many in a second.
    Replay(replay::Options),
    /// Stops a replay; what was queued runs.
    Cancel {
        #[arg(value_name = "rpl_…")]
        id: ReplayId,
        #[arg(long)]
        json: bool,
    },
    /// Deletes dead jobs for good: one by its id, or those of a filter with --yes.
    Discard(Discard),
    /// Counts jobs by kind: unfinished, due, parked, the oldest's age, dead.
    Stats {
        /// Only this kind.
        #[arg(long)]
        kind: Option<String>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Discard {
    #[arg(value_name = "job_…")]
    id: Option<JobId>,
    #[command(flatten)]
    selection: Selection,
    /// In place of conditions: every dead job.
    #[arg(long)]
    all: bool,
    /// Needed for more than one job.
    #[arg(long)]
    yes: bool,
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(command: Command, database: &Database) -> Result<(), Failure> {
    match command {
        Command::List { selection, limit, cursor, json } => list(database, selection, limit, cursor, json).await,
        Command::Show { id, json } => show_one(database, &id, json).await,
        Command::Replay(options) => replay::run(database, options).await,
        Command::Cancel { id, json } => cancel(database, id, json).await,
        Command::Discard(options) => discard(database, options).await,
        Command::Stats { kind, json } => stats(database, kind, json).await,
    }
}

async fn list(
    database: &Database,
    selection: Selection,
    limit: u16,
    cursor: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let after: Option<Position> = match cursor {
        Some(text) => Some(
            cursor::decode(LIST, &text)
                .ok_or_else(|| Failure::Usage("--cursor is not one that this list ended with".into()))?,
        ),
        None => None,
    };
    let mut tx = database.system().await?;
    let mut rows = dead_jobs::list(tx.connection(), &selection.filter(), after, i64::from(limit) + 1).await?;
    tx.commit().await?;
    let more = rows.len() > limit.into();
    rows.truncate(limit.into());
    let next = rows.last().filter(|_| more).map(|last| cursor::encode(LIST, &last.position()));
    show::dead_jobs(&rows, next.as_deref(), json);
    Ok(())
}

async fn show_one(database: &Database, id: &str, json: bool) -> Result<(), Failure> {
    let mut tx = database.system().await?;
    if let Ok(id) = id.parse::<JobId>() {
        let job = dead_jobs::find(tx.connection(), id).await?;
        show::dead_job(&job.ok_or_else(|| Failure::Failed(format!("there is no dead job {id}")))?, json);
    } else if let Ok(id) = id.parse::<ReplayId>() {
        let replay = replays::find(tx.connection(), id).await?;
        show::replay(&replay.ok_or_else(|| Failure::Failed(format!("there is no replay {id}")))?, json);
    } else {
        return Err(Failure::Usage(format!("`{id}` is neither a job's id (job_…) nor a replay's (rpl_…)")));
    }
    Ok(tx.commit().await?)
}

async fn cancel(database: &Database, id: ReplayId, json: bool) -> Result<(), Failure> {
    let mut tx = database.system().await?;
    replays::end(tx.connection(), id, State::Cancelled).await?;
    let replay = replays::find(tx.connection(), id).await?;
    tx.commit().await?;
    show::replay(&replay.ok_or_else(|| Failure::Failed(format!("there is no replay {id}")))?, json);
    Ok(())
}

async fn discard(database: &Database, options: Discard) -> Result<(), Failure> {
    let Discard { id, selection, all, yes, json } = options;
    chosen(id.is_some(), &selection, all)?;
    if let Some(id) = id {
        let mut tx = database.system().await?;
        let discarded = dead_jobs::discard(tx.connection(), id).await?;
        tx.commit().await?;
        if !discarded {
            return Err(Failure::Failed(format!("there is no dead job {id}")));
        }
        show::discarded(1, json);
        return Ok(());
    }
    if !yes {
        return Err(Failure::Usage("discarding by a filter cannot be undone: look with `list`, then add --yes".into()));
    }
    let (filter, until) = (selection.filter(), Utc::now());
    let mut discarded = 0;
    // Ends: each round deletes what it counts, and jobs that die from now on are not of the set.
    loop {
        let mut tx = database.system().await?;
        let deleted = dead_jobs::discard_some(tx.connection(), &filter, until, DISCARD_BATCH).await?;
        tx.commit().await?;
        discarded += deleted;
        if deleted < DISCARD_BATCH.unsigned_abs() {
            break;
        }
    }
    show::discarded(discarded, json);
    Ok(())
}

async fn stats(database: &Database, kind: Option<String>, json: bool) -> Result<(), Failure> {
    let names: Vec<_> = kinds::names().into_iter().map(str::to_owned).collect();
    let mut tx = database.system().await?;
    let counts = job_counts::by_kind(tx.connection(), &names, kind.as_deref()).await?;
    tx.commit().await?;
    if let (Some(kind), []) = (kind, counts.as_slice()) {
        return Err(Failure::Failed(format!("there is no kind of job `{kind}`")));
    }
    show::counts(&counts, json);
    Ok(())
}

/// Refuses a command that names nothing, or several things that contradict each other.
pub(super) fn chosen(by_id: bool, selection: &Selection, all: bool) -> Result<(), Failure> {
    match (by_id, !selection.is_empty(), all) {
        (true, false, false) | (false, true, false) | (false, false, true) => Ok(()),
        (false, false, false) => {
            Err(Failure::Usage("say which: a job's id, conditions such as --kind, or --all".into()))
        }
        _ => Err(Failure::Usage("a job's id, conditions and --all exclude each other".into())),
    }
}
