//! What the queue carries. Release build, on an otherwise idle machine:
//!
//! ```text
//! REDIS_URL=redis://… cargo bench -p jobs --bench queue -- lanes      jobs/s from claim to finish, by tenants and backlog
//! REDIS_URL=redis://… cargo bench -p jobs --bench queue -- lanes:50   the same with 50 tenants only
//! REDIS_URL=redis://… cargo bench -p jobs --bench queue -- starts     push to start at 100/s
//! REDIS_URL=redis://… cargo bench -p jobs --bench queue -- idle       what the lanes of all kinds cost without jobs
//! DATABASE_URL=… REDIS_URL=… cargo bench -p jobs --bench queue -- ledger   jobs/s from insert to guarded completion
//! ```
//!
//! `make bench` runs them all, with BullMQ and pgbench beside them. Every run uses a Redis prefix of its own.

mod cost;
mod idle;
mod ledger;
mod no_engines;
mod starts;
mod throughput;
mod worker;

use std::{process::ExitCode, time::Duration};

use jobs::queue::{Lanes, LanesConfig};
use uuid::Uuid;

/// Runs of a measurement; the median is reported.
const RUNS: usize = 5;

#[tokio::main]
async fn main() -> ExitCode {
    // Cargo passes `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for measurement in &wanted {
        match measurement.as_str() {
            "lanes" => throughput::run(None).await,
            "starts" => starts::run().await,
            "idle" => idle::run().await,
            "ledger" => ledger::run().await,
            other => match other.strip_prefix("lanes:").and_then(|tenants| tenants.parse().ok()) {
                Some(tenants) => throughput::run(Some(tenants)).await,
                None => {
                    eprintln!("unknown measurement `{other}`: lanes, lanes:TENANTS, starts, idle, ledger");
                    return ExitCode::from(2);
                }
            },
        }
    }
    ExitCode::SUCCESS
}

fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names what to measure"))
}

fn lanes() -> Lanes {
    let prefix = format!("bench-{}", Uuid::now_v7().simple());
    let config = LanesConfig { url: setting("REDIS_URL"), prefix, lease: Duration::from_secs(15) };
    Lanes::connect(config).expect("a usable URL")
}

/// The median of an odd number of results.
fn median(mut results: Vec<f64>) -> f64 {
    results.sort_by(f64::total_cmp);
    results[results.len() / 2]
}
