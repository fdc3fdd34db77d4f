//! metachat's HTTP process.

use std::process::ExitCode;

use api::{config, migrate, openapi, state::AppState, telemetry};
use clap::{Parser, Subcommand};
use jobs::{queue::Lanes, store::Database};
use tokio::{net::TcpListener, signal::unix, time::Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    telemetry::init_logs(&logs);
    let ended = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve(settings).await,
        Command::Migrate => migrate(settings).await,
        Command::Openapi => {
            println!("{}", openapi::document().to_pretty_json().expect("the description is plain data"));
            Ok(())
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!("{problem}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve(settings: config::Settings) -> Result<(), Vec<String>> {
    let mut findings = config::Findings::default();
    let config = settings.read(&mut findings);
    let database = Database::connect(&config.database).map_err(|error| findings.add("DATABASE_URL", error)).ok();
    let lanes = Lanes::connect(config.lanes.clone()).map_err(|error| findings.add("REDIS_URL", error)).ok();
    let (Some(database), Some(lanes)) = findings.into_result((database, lanes))? else { unreachable!("findings said so") };

    let fatal = |what: &str, error: &dyn std::fmt::Display| vec![format!("{what}: {error}")];
    let metrics = telemetry::install_metrics().map_err(|error| fatal("metrics", &error))?;
    let listener = TcpListener::bind(config.bind).await.map_err(|error| fatal(&config.bind.to_string(), &error))?;
    let mut terminate = unix::signal(unix::SignalKind::terminate()).map_err(|error| fatal("SIGTERM", &error))?;
    let (state, tasks) = AppState::start(&config, database, lanes, metrics);
    tracing::info!(address = %config.bind, "listening");

    let announced = tokio::spawn({
        let state = state.clone();
        async move { api::announce(&state).await }
    });
    let (drained, draining) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        announced.abort();
        let _ = drained.send(Instant::now());
    };
    let served = api::serve(listener, state, shutdown, config.grace).await.map_err(|error| fatal("serving", &error));
    let since = draining.await.unwrap_or_else(|_| Instant::now());
    tasks.flush(config.grace.saturating_sub(since.elapsed())).await;
    served
}

async fn migrate(settings: config::Settings) -> Result<(), Vec<String>> {
    let mut findings = config::Findings::default();
    let database = settings.database.read(&mut findings);
    findings.into_result(())?;
    migrate::migrate(&database).await.map_err(|error| vec![format!("migration failed: {error}")])
}
