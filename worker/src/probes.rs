//! Liveness, readiness and metrics, on a thread and a port of their own: they answer under full load.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use jobs::{queue::Lanes, store::Database};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// A dependency that answers slower than this is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Histograms are compacted this often.
const UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds in seconds, from half a millisecond to five minutes.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];
/// Upper bounds of scores from 0 to 1.
const SCORE_BUCKETS: [f64; 10] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Installs the process' metrics recorder. Call it before anything is measured.
pub(crate) fn install_recorder() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_score".into()), &SCORE_BUCKETS)?
        .install_recorder()?;
    metrics_process::Collector::default().describe();
    Ok(handle)
}

/// What the probes tell.
#[derive(Clone)]
pub(crate) struct Probes {
    pub metrics: PrometheusHandle,
    pub database: Database,
    pub lanes: Lanes,
    /// Set when the lanes' workers run; cleared when they drain.
    pub working: Arc<AtomicBool>,
    /// Where the dependencies are asked: a connection is driven by the runtime that opened it, so one opened by a probe would have
    /// every job's reads and writes pass through the probes' thread.
    pub runtime: Handle,
}

impl Probes {
    /// Serves until the process ends. Fails at once when the address is taken.
    pub fn serve(self, address: SocketAddr) -> anyhow::Result<()> {
        let listener = std::net::TcpListener::bind(address)
            .map_err(|error| anyhow::anyhow!("WORKER_BIND {address} cannot be used: {error}"))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("probes".into()).spawn(move || {
            runtime.block_on(async move {
                tokio::spawn(upkeep(self.metrics.clone()));
                let router = Router::new()
                    .route("/healthz", get(async || "alive\n"))
                    .route("/readyz", get(ready))
                    .route("/metrics", get(scrape))
                    .with_state(self);
                let served = match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, router).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "probes ended");
                }
            });
        })?;
        Ok(())
    }
}

async fn upkeep(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

async fn scrape(State(probes): State<Probes>) -> String {
    metrics_process::Collector::default().collect();
    let (open, idle) = probes.database.pool_size();
    metrics::gauge!("metachat_postgres_connections", "state" => "idle").set(idle as f64);
    metrics::gauge!("metachat_postgres_connections", "state" => "busy").set((open - idle) as f64);
    probes.metrics.render()
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, Json<Value>) {
    let (database, lanes) = (probes.database.clone(), probes.lanes.clone());
    let (postgres, redis) = tokio::join!(
        answers(&probes.runtime, async move { database.ping().await.is_ok() }),
        answers(&probes.runtime, async move { lanes.ping().await.is_ok() }),
    );
    let working = probes.working.load(Ordering::Relaxed);
    let status = if postgres && redis && working { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "postgres": postgres, "redis": redis, "working": working })))
}

/// Whether `ping` succeeds, on the runtime of the jobs, in time.
async fn answers(runtime: &Handle, ping: impl Future<Output = bool> + Send + 'static) -> bool {
    let asked = AbortOnDropHandle::new(runtime.spawn(ping));
    matches!(tokio::time::timeout(PING_TIMEOUT, asked).await, Ok(Ok(true)))
}
