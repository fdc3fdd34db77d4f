//! `metachat jobs replay`: starts a replay and shows its progress.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use clap::Args;
use jobs::{
    domain::ids::{JobId, ReplayId},
    kinds::replay_dead_jobs::{self, Single},
    store::{
        Database, Scope,
        replays::{self, Replay, State},
    },
};
use tokio::time::Instant;

use super::{Failure, jobs::chosen, selection::Selection, show};

/// Between two looks at a replay.
const LOOK: Duration = Duration::from_millis(500);
/// A replay that does not move for so long is left to itself.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct Options {
    #[arg(value_name = "job_…")]
    id: Option<JobId>,
    #[command(flatten)]
    selection: Selection,
    /// In place of conditions: every dead job.
    #[arg(long)]
    all: bool,
    /// Most jobs queued in a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rate: u16,
    /// Starts the replay and does not wait for it.
    #[arg(long)]
    detach: bool,
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, options: Options) -> Result<(), Failure> {
    let Options { id, selection, all, rate, detach, json } = options;
    chosen(id.is_some(), &selection, all)?;
    let mut tx = database.system().await?;
    if let Some(id) = id {
        let replayed = replay_dead_jobs::single(&mut tx, id).await?;
        tx.commit().await?;
        return match replayed {
            Single::Queued(kind) => {
                show::queued(id, &kind, json);
                Ok(())
            }
            Single::AlreadyQueued => Err(Failure::Failed(format!("{id}: the same work is queued already"))),
            Single::Missing => Err(Failure::Failed(format!("there is no dead job {id}"))),
        };
    }
    let replay = replay_dead_jobs::start(&mut tx, &selection.filter(), rate).await?;
    tx.commit().await?;
    if detach {
        show::replay(&find(database, replay).await?, json);
        return Ok(());
    }
    eprintln!("{replay}: interrupting this command does not end it; `metachat jobs cancel {replay}` does");
    let ended = watch(database, replay).await?;
    show::replay(&ended, json);
    match ended.state {
        State::Failed => Err(Failure::Failed(format!("{replay} gave up; the workers' logs say why"))),
        _ => Ok(()),
    }
}

/// Shows progress on standard error until the replay is over.
async fn watch(database: &Database, id: ReplayId) -> Result<Replay, Failure> {
    let (mut shown, mut moved) = (None, Instant::now());
    loop {
        let replay = find(database, id).await?;
        let progress = (replay.replayed, replay.skipped);
        if shown != Some(progress) {
            shown = Some(progress);
            moved = Instant::now();
            tell(&replay);
        }
        if replay.state != State::Running {
            if std::io::stderr().is_terminal() {
                eprintln!();
            }
            return Ok(replay);
        }
        if moved.elapsed() > PATIENCE {
            return Err(Failure::Failed(format!(
                "{id} has not moved for {PATIENCE:?}: does a worker run, and do the jobs it brought back end? It goes on by \
                 itself; `metachat jobs show {id}` tells"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One line, written over on a terminal.
fn tell(replay: &Replay) {
    let Replay { replayed, skipped, matched, .. } = replay;
    let line = format!("replayed {replayed} of {matched}, skipped {skipped}");
    let mut screen = std::io::stderr().lock();
    let ending = if screen.is_terminal() { "\x1b[K\r" } else { "\n" };
    // Progress that cannot be shown is no reason to stop.
    let _ = write!(screen, "{line}{ending}").and_then(|()| screen.flush());
}

async fn find(database: &Database, id: ReplayId) -> Result<Replay, Failure> {
    let mut tx = database.system().await?;
    let replay = replays::find(tx.connection(), id).await?;
    tx.commit().await?;
    replay.ok_or_else(|| Failure::Failed(format!("{id} is gone: its tenant was deleted")))
}
