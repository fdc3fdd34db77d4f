//! Logs and metrics.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use clap::{Args, ValueEnum};
use jobs::trace::{self, export::Export};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Upper bounds of the request histogram, in seconds; a long-poll lasts a minute.
const REQUEST_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 75.0];
/// How often the recorder drains what histograms gathered between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct LogSettings {
    #[arg(long, env = "LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
    /// Log filter, such as info or api=debug,jobs=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    rust_log: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

/// Log lines, and spans where they are exported. Logs go to standard error; standard output belongs to the `openapi` command.
pub fn init_logs(settings: &LogSettings) -> Result<Export, String> {
    let filter = EnvFilter::builder().parse_lossy(&settings.rust_log);
    let lines = fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    let lines = match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_target(false).boxed(),
    };
    trace::install("metachat-api", lines, filter)
}

/// Installs the process' recorder; once per process.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let request = Matcher::Full("metachat_http_request_seconds".to_owned());
    let handle = PrometheusBuilder::new().set_buckets_for_metric(request, &REQUEST_BUCKETS)?.install_recorder()?;
    metrics_process::Collector::default().describe();
    metrics::gauge!("metachat_http_streams_open").set(0.0);
    metrics::counter!("metachat_api_log_dropped_total").absolute(0);
    trace::count_from_zero();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
