//! How many replicas a rate needs, from what one run on one machine took.
//!
//! Linear by design: each answer takes so much CPU of each process, beside what the process takes with nothing to do, and keeps
//! so many slots busy for so long (Little's law). What is not linear, such as commits that share a flush under load, makes the
//! forecast err to the safe side; `--verify` says by how much.

mod fit;
mod forecast;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::duration;
use crate::load::{Product, Report};
use fit::Fit;
use forecast::Forecast;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A report that `loadtest run --json` wrote: of a constant rate that the product kept up with
    #[arg(long)]
    pub from: PathBuf,
    /// Answered messages a second, such as 200/s or 50000/h
    #[arg(long, value_parser = per_second)]
    pub target: f64,
    /// How long the model takes for an answer
    #[arg(long, default_value = "0", value_parser = duration::parse)]
    pub model_latency: Duration,
    #[command(flatten)]
    pub machine: Machine,
    #[command(flatten)]
    pub prices: Prices,
    /// Runs the forecast at a rate that fits this machine, against the product that runs here, and reports the error
    #[arg(long)]
    pub verify: bool,
    /// How long the run that verifies takes
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    pub verify_duration: Duration,
    #[command(flatten)]
    pub product: Option<Product>,
}

/// What a replica gets and how full it may be.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Machine {
    /// Processors of an api or worker replica
    #[arg(long, default_value_t = 2.0)]
    pub replica_cores: f64,
    /// Processors of the Postgres server; Redis uses one for its commands
    #[arg(long, default_value_t = 4.0)]
    pub postgres_cores: f64,
    /// Share of a processor or of slots that may be busy at the mean; the rest is for peaks
    #[arg(long, default_value_t = 0.7)]
    pub utilisation: f64,
    /// Memory of a completion in flight, where the run did not have enough of them to tell
    #[arg(long, default_value_t = 100.0)]
    pub completion_kb: f64,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Prices {
    #[arg(long, default_value_t = 0.04)]
    pub usd_per_core_hour: f64,
    #[arg(long, default_value_t = 0.005)]
    pub usd_per_gb_hour: f64,
    /// The model's price; the extractive answerer costs nothing
    #[arg(long, default_value_t = 0.0)]
    pub usd_per_million_prompt_tokens: f64,
    #[arg(long, default_value_t = 0.0)]
    pub usd_per_million_completion_tokens: f64,
}

/// Prints the forecast and, when asked, how far it was off.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = &args.from;
    let text = std::fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
    let report: Report = serde_json::from_slice(&text).with_context(|| format!("{path:?} is not a report"))?;
    ensure!((0.05..=1.0).contains(&args.machine.utilisation), "--utilisation must be from 0.05 to 1");
    ensure!(args.machine.replica_cores > 0.0 && args.machine.postgres_cores > 0.0, "cores must be above 0");
    let fit = Fit::of(&report, args.machine.completion_kb)?;
    println!("{fit}");
    println!("{}", Forecast::new(&fit, args.target, args.model_latency, args.machine, args.prices));
    if args.verify {
        let product =
            args.product.as_ref().context("--verify needs the running product: give ADMIN_KEY and API_URL")?;
        verify::run(&args, product, &fit).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses `200/s`, `12000/m` or `50000/h`; a bare number is per second.
fn per_second(text: &str) -> Result<f64, String> {
    let (number, seconds) = match text.split_once('/') {
        None | Some((_, "s")) => (text.trim_end_matches("/s"), 1.0),
        Some((number, "m")) => (number, 60.0),
        Some((number, "h")) => (number, 3600.0),
        Some((_, unit)) => return Err(format!("unknown unit {unit:?}, use /s, /m or /h")),
    };
    match number.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate / seconds),
        _ => Err(format!("{text:?} is not a rate such as 200/s")),
    }
}

#[cfg(test)]
mod tests {
    use super::per_second;

    #[test]
    fn rates_are_read() {
        assert_eq!(per_second("200/s"), Ok(200.0));
        assert_eq!(per_second("7"), Ok(7.0));
        assert_eq!(per_second("7200/h"), Ok(2.0));
        assert!(per_second("0/s").is_err() && per_second("5/d").is_err() && per_second("many").is_err());
    }
}
