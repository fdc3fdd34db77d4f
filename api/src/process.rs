//! The process: settings in, requests served, an exit without loss.

use jobs::{
    queue::Lanes,
    store::{Database, Originals},
};
use tokio::{net::TcpListener, signal::unix, time::Instant};

use crate::{config, dependencies, limits::Limits, serve, state::AppState, telemetry};

/// Serves until SIGTERM or SIGINT, then drains within the configured grace.
///
/// Fails with everything that is wrong with the settings, or with what kept the process from listening. A Postgres or
/// Redis that is away is waited for.
pub async fn run(settings: config::Settings) -> Result<(), Vec<String>> {
    let mut findings = config::Findings::default();
    let config = settings.read(&mut findings);
    let database = Database::connect(&config.database).map_err(|error| findings.add("DATABASE_URL", error));
    let lanes = Lanes::connect(config.lanes.clone()).map_err(|error| findings.add("REDIS_URL", error));
    let limits = match &database {
        Ok(database) => {
            let limits = Limits::connect(&config.edge.limits, database.clone());
            limits.map_err(|error| findings.add("REDIS_URL", error))
        }
        Err(()) => Err(()),
    };
    let originals = Originals::connect(&config.originals_uri, std::env::vars());
    let originals = originals.map_err(|problem| findings.add("ORIGINALS_URI", problem));
    let made = findings.into_result((database, lanes, originals, limits))?;
    let (Ok(database), Ok(lanes), Ok(originals), Ok(limits)) = made else {
        unreachable!("a part that could not be made is a finding")
    };

    let fatal = |what: &str, error: &dyn std::fmt::Display| vec![format!("{what}: {error}")];
    let metrics = telemetry::install_metrics().map_err(|error| fatal("metrics", &error))?;
    let bound = TcpListener::bind(config.bind).await;
    let listener = bound.map_err(|error| fatal(&config.bind.to_string(), &error))?;
    let mut terminate = unix::signal(unix::SignalKind::terminate()).map_err(|error| fatal("SIGTERM", &error))?;
    let (state, tasks) = AppState::start(&config, database, lanes, originals, limits, metrics);
    tracing::info!(address = %config.bind, "listening");

    let announcing = tokio::spawn({
        let state = state.clone();
        async move { dependencies::announce(&state).await }
    });
    let (told, since) = tokio::sync::oneshot::channel();
    let shutdown = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = tokio::signal::ctrl_c() => {} }
        announcing.abort();
        // The receiver outlives the server.
        let _ = told.send(Instant::now());
    };
    let served = serve(listener, state, shutdown, config.edge.connections, config.grace).await;
    let since = since.await.unwrap_or_else(|_| Instant::now());
    tasks.flush(config.grace.saturating_sub(since.elapsed())).await;
    served.map_err(|error| fatal("serving", &error))
}
