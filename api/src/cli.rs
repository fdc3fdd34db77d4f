//! The operator's command: dead letters of all tenants, the keys of sealed secrets and checks of the schema, straight on
//! Postgres.
//!
//! Exits with 0 when all is done, 1 when it could not be, 2 when it was asked for in a wrong way.

mod check;
mod index;
mod jobs;
mod replay;
mod secrets;
mod selection;
mod show;

use std::process::ExitCode;

use ::jobs::store::{Database, DatabaseConfig, StoreError};
use clap::{Parser, Subcommand};

/// Exit code of a command that makes no sense; clap's own.
const USAGE: u8 = 2;

/// Looks after metachat from a shell. Needs the database, as DATABASE_URL; for secrets, SECRETS_KEYS too.
#[derive(Parser)]
#[command(name = "metachat", version)]
struct Cli {
    /// postgres://… of a login that may switch to the role metachat_system; for checks, of one that reads every row.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Jobs that gave up, of all tenants and of the platform: look, run again, discard.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Which keys the secrets in the database are sealed with, and sealing them anew.
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// The search index of documents, which can be made again from their originals.
    #[command(subcommand)]
    Index(index::Command),
    /// Whether the rows and the schema keep what is promised of them. Changes nothing.
    #[command(subcommand)]
    Check(check::Command),
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked for in a wrong way.
    Usage(String),
    /// It could not be done.
    Failed(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Constraint(name) if name == "dead_job_replays_one_running" => {
                Self::Failed("another replay of the same jobs is running; wait for it, or cancel it".into())
            }
            error if error.is_outage() => Self::Failed(format!("Postgres does not answer: {error}")),
            error => Self::Failed(error.to_string()),
        }
    }
}

fn connect(url: String) -> Result<Database, Failure> {
    Database::connect(&DatabaseConfig { url, max_connections: 1 })
        .map_err(|error| Failure::Usage(format!("DATABASE_URL is not usable: {error}")))
}

/// Runs the command that the process was started with.
pub async fn main() -> ExitCode {
    let Cli { database_url, command } = Cli::parse();
    let ended = async {
        let url = database_url.filter(|url| !url.trim().is_empty());
        let url = url.ok_or_else(|| Failure::Usage("DATABASE_URL is not set".into()))?;
        match command {
            Command::Jobs(command) => jobs::run(command, &connect(url)?).await,
            Command::Secrets(command) => secrets::run(command, &connect(url)?).await,
            Command::Index(command) => index::run(command, &connect(url)?).await,
            Command::Check(command) => check::run(command, &url).await,
        }
    };
    match ended.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(problem)) => {
            eprintln!("metachat: {problem}");
            ExitCode::from(USAGE)
        }
        Err(Failure::Failed(problem)) => {
            eprintln!("metachat: {problem}");
            ExitCode::FAILURE
        }
    }
}
