//! A worker process from start to drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use jobs::{
    kinds,
    ports::{Model, Models},
    queue::{
        Dispatcher, GroupCommit, Intakes, Lanes, Runtime,
        signals::{Announcements, Topic, WakeUps},
    },
    store::{Database, Scope, StoreError, embedding_models},
    trace,
};
use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::WorkerConfig,
    disk, engines,
    lanes::Workshop,
    probes::{self, Probes},
    relay,
};

/// Between two looks at a dependency that is down at start.
const DEPENDENCY_RETRY: Duration = Duration::from_secs(2);
/// Longest wait for leases and pushes after running jobs were abandoned.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs a worker until SIGTERM or SIGINT: it stops claiming, finishes what runs within the grace period, gives
/// back the rest, and returns. A second signal gives back at once.
pub async fn run(config: WorkerConfig) -> anyhow::Result<()> {
    let vault = config.secrets.vault()?;
    let originals = config.originals.connect()?;
    let mut signals = Signals::new()?;
    let recorder = probes::install_recorder()?;
    kinds::count_from_zero();
    trace::count_from_zero();
    let database = Database::connect_for_jobs(&config.database.clone().into()).context("DATABASE_URL is not usable")?;
    let lanes = Lanes::connect(config.redis.clone().into()).context("REDIS_URL is not usable")?;
    let working = Arc::new(AtomicBool::new(false));
    Probes {
        metrics: recorder,
        database: database.clone(),
        lanes: lanes.clone(),
        working: working.clone(),
        runtime: Handle::current(),
    }
    .serve(config.process.worker_bind)?;

    tokio::select! {
        () = dependencies(&database, &lanes) => {}
        () = signals.next() => return Ok(()),
    }
    let engines = engines::connect(config.engines.clone()).await?;
    tokio::select! {
        () = announced(&database, &engines.embedding) => {}
        () = signals.next() => return Ok(()),
    }
    disk::watch(&config.engines.index.lancedb_uri, &config.originals.originals_uri)?;

    let stop = CancellationToken::new();
    let abandon = CancellationToken::new();
    let intakes = Intakes::default();
    let (dispatcher, dispatching) = Dispatcher::start(lanes.clone(), intakes.clone());
    let (group_commit, _) = GroupCommit::start(database.clone());
    let (cancellations, hearing) = Announcements::start(&lanes, &[Topic::Cancelled]);
    let (wake_ups, listening) = WakeUps::start(&lanes, &kinds::names());
    let relaying = tokio::spawn(relay::run(database.clone(), lanes.clone(), stop.clone()));
    let runtime = Runtime {
        database: database.clone(),
        dispatcher: dispatcher.clone(),
        cancellations,
        group_commit,
        engines,
        originals,
        vault,
        prices: Arc::new(config.billing.clone().into()),
        webhook_attempts: config.process.webhook_retry_max_attempts,
        retention: (&config.process).into(),
    };
    let workshop = Workshop {
        lanes,
        wake_ups,
        intakes,
        runtime,
        slots: Arc::new(config.process.lane_slots.clone()),
        name: format!("{}-{}", std::process::id(), uuid::Uuid::now_v7().simple()),
        suspect: Arc::new(Semaphore::new(1)),
        stop: stop.clone(),
        abandon: abandon.clone(),
    };
    let asked_to_stop = stop.clone();
    let mut working_lanes = tokio::spawn(workshop.monitor().run_with_signal(async move {
        asked_to_stop.cancelled().await;
        Ok(())
    }));
    working.store(true, Ordering::Relaxed);
    tracing::info!(probes = %config.process.worker_bind, "working");

    tokio::select! {
        () = signals.next() => {}
        ended = &mut working_lanes => {
            ended.context("the lanes' workers panicked")?.context("the lanes' workers ended")?;
            anyhow::bail!("the lanes' workers ended without being asked to");
        }
    }
    working.store(false, Ordering::Relaxed);
    let grace = Duration::from_secs(config.process.shutdown_grace_seconds);
    tracing::info!(?grace, "draining: no more jobs are claimed");
    stop.cancel();
    tokio::select! {
        _ = &mut working_lanes => {}
        () = tokio::time::sleep(grace) => tracing::warn!("grace is over, running jobs are given back"),
        () = signals.next() => tracing::warn!("second signal, running jobs are given back"),
    }
    abandon.cancel();
    if !working_lanes.is_finished() && tokio::time::timeout(FLUSH_TIMEOUT, working_lanes).await.is_err() {
        tracing::warn!("some leases were left to expire");
    }
    relaying.abort();
    listening.abort();
    hearing.abort();
    drop(dispatcher);
    if tokio::time::timeout(FLUSH_TIMEOUT, dispatching).await.is_err() {
        tracing::warn!("some pushes were left to the relay");
    }
    database.close().await;
    tracing::info!("drained");
    Ok(())
}

/// Waits until it is noted: Postgres may have gone away while the engines started.
async fn announced(database: &Database, models: &Models) {
    while let Err(error) = announce(database, models).await {
        tracing::warn!(%error, "waiting for Postgres (DATABASE_URL) to note the embedding models");
        tokio::time::sleep(DEPENDENCY_RETRY).await;
    }
}

/// Notes which embedding models this worker has, for `metachat index`.
async fn announce(database: &Database, models: &Models) -> Result<(), StoreError> {
    let mut tx = database.system().await?;
    for Model { embedder, .. } in models.all() {
        let id = embedder.model();
        let dimension = i32::try_from(embedder.dimension()).expect("a dimension is some hundreds");
        let name = id.rsplit_once('@').map_or(id, |(name, _version)| name);
        embedding_models::announce(tx.connection(), id, name, dimension).await?;
    }
    tx.commit().await
}

/// Waits until Postgres (with its schema) and Redis answer, saying which one does not.
async fn dependencies(database: &Database, lanes: &Lanes) {
    loop {
        let postgres = database.ping().await;
        let redis = lanes.ping().await;
        if postgres.is_ok() && redis.is_ok() {
            return;
        }
        if let Err(error) = postgres {
            tracing::warn!(%error, "waiting for Postgres (DATABASE_URL) and its schema");
        }
        if let Err(error) = redis {
            tracing::warn!(%error, "waiting for Redis (REDIS_URL)");
        }
        tokio::time::sleep(DEPENDENCY_RETRY).await;
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
