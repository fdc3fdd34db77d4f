//! Load at a constant rate, as an open model: arrivals do not wait for answers, and every latency counts from the moment the
//! arrival was due, so that a stalled server cannot hide its stall by slowing its own load down.

mod fleet;
mod flight;
mod generator;
mod report;
mod schedule;
mod tally;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::duration;
pub(crate) use fleet::unlimited;
pub(crate) use schedule::Schedule;
pub(crate) use tally::LONGEST_LATENCY;
pub(crate) use target::refuse_remote;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Base URL of the API; only this machine may be loaded
    #[arg(long, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    pub api_url: String,
    #[arg(long, env = "ADMIN_KEY", hide_env_values = true)]
    pub admin_key: String,
    /// Messages a second, over all tenants
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
    /// How long messages are sent, such as 30s or 5m
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    pub duration: Duration,
    /// Tenants that take turns
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub tenants: u32,
    /// Messages followed at once; an arrival beyond that is dropped and counted
    #[arg(long, default_value_t = 2_000)]
    pub max_in_flight: usize,
    /// How long one message is followed
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub answer_timeout: Duration,
    /// How long the documents may take to become searchable
    #[arg(long, default_value = "5m", value_parser = duration::parse)]
    pub documents_timeout: Duration,
    /// Fails the run when the answer latency's p99 is above this
    #[arg(long)]
    pub max_p99_ms: Option<u64>,
    /// Fails the run when fewer than this share of all arrivals, dropped ones included, end `answered`
    #[arg(long)]
    pub min_answered_ratio: Option<f64>,
}

/// Prepares tenants, sends the load and prints the report. Ctrl-C ends the load early and still reports.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    refuse_remote(&args.api_url)?;
    ensure!(args.rate.is_finite() && args.rate > 0.0, "--rate must be above 0");
    ensure!(!args.duration.is_zero(), "--duration must be above 0");
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });

    let admin = Client::new(&args.api_url, &args.admin_key)?;
    let fleet = tokio::select! {
        fleet = fleet::launch(&admin, args.tenants, args.documents_timeout) => fleet?,
        () = stop.cancelled() => anyhow::bail!("interrupted before the load began"),
    };
    println!("sending {} messages/s for {:?} …", args.rate, args.duration);
    let schedule = Schedule::new(args.rate, args.duration);
    let tally = generator::generate(schedule, &fleet, &args, &stop).await;
    let verdict = report::print(&args, &tally);
    Ok(if verdict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
