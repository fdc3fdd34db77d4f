//! `metachat check …`

use clap::Subcommand;
use jobs::store::checks;

use super::{Failure, show};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Before the foreign keys of messages and api_logs: which rows they would refuse.
    Orphans {
        #[arg(long)]
        json: bool,
    },
    /// After the migrations: the seven points that the schema promises of messages and api_logs.
    Schema,
}

/// Fails when something is found.
pub(super) async fn run(command: Command, url: &str) -> Result<(), Failure> {
    match command {
        Command::Orphans { json } => {
            let findings = checks::orphans(url).await?;
            show::orphans(&findings, json);
            match findings.iter().filter(|found| found.orphans > 0).count() {
                0 => Ok(()),
                keys => Err(Failure::Failed(format!("{keys} of {} keys WILL FAIL", findings.len()))),
            }
        }
        Command::Schema => {
            checks::schema(url).await?;
            show::print("all seven points hold");
            Ok(())
        }
    }
}
