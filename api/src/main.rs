//! metachat's HTTP process.

use std::process::ExitCode;

use api::{config, migrate, openapi, process, telemetry};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Serves metachat's API.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    logs: telemetry::LogSettings,
    #[command(flatten)]
    settings: config::Settings,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the API (the default).
    Serve,
    /// Brings the database's schema up to date.
    Migrate,
    /// Prints the API's description.
    Openapi,
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("installed first, once");
    let Cli { command, logs, settings } = Cli::parse();
    let export = match telemetry::init_logs(&logs) {
        Ok(export) => export,
        Err(problem) => {
            tracing::error!("{problem}");
            return ExitCode::FAILURE;
        }
    };
    let ended = match command.unwrap_or(Command::Serve) {
        Command::Serve => process::run(settings).await,
        Command::Migrate => migrate::run(settings.database).await,
        Command::Openapi => {
            println!("{}", openapi::document().to_pretty_json().expect("the description is plain data"));
            Ok(())
        }
    };
    export.flush().await;
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!("{problem}"));
            ExitCode::FAILURE
        }
    }
}
