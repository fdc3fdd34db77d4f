//! The forecast against a run at another rate than it was made from.

use anyhow::ensure;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::fit::{Fit, Role};
use crate::load::{self, Phase, Product, Report, table};

/// Share of the machine that the run may take: where queues grow, nothing is linear.
const FILL: f64 = 0.5;
/// The scenario that is run, with and without a model.
const PLAIN: &str = "steady";
const WITH_MODEL: &str = "slow-model";

/// Runs the forecast at a rate that fits this machine and prints how far each figure was off.
pub(super) async fn run(args: &Args, product: &Product, fit: &Fit) -> anyhow::Result<()> {
    let rate = args.target.min(fit.machine_rate(FILL)).floor().max(1.0);
    let with_model = !args.model_latency.is_zero();
    let mut scenario = load::read(if with_model { WITH_MODEL } else { PLAIN })?;
    scenario.loads[0].phases = vec![Phase { rate, to: None, duration: args.verify_duration }];
    if let Some(model) = &mut scenario.model {
        model.latency = args.model_latency;
    }
    println!("\nverifying at {rate} a second for {:?} …", args.verify_duration);
    let report = load::perform("verify", &scenario, product, 0, &CancellationToken::new()).await?;
    ensure!(report.totals.answered > 0, "the run answered nothing");
    println!("\n{}", compare(fit, rate, args, &report));
    Ok(())
}

fn compare(fit: &Fit, rate: f64, args: &Args, report: &Report) -> comfy_table::Table {
    let mut rows = table(["at that rate", "forecast", "measured", "error, %"]);
    let mut add = |what: &str, forecast: f64, measured: f64| {
        let error = (forecast / measured.max(f64::MIN_POSITIVE) - 1.0) * 100.0;
        rows.add_row([what.to_owned(), format!("{forecast:.2}"), format!("{measured:.2}"), format!("{error:+.0}")]);
    };
    let measured = Fit::of(report, args.machine.completion_kb).ok();
    let mut sums = (0.0, 0.0);
    for role in [Role::Api, Role::Worker, Role::Postgres, Role::Redis] {
        let forecast = fit.cores(role, rate) * 100.0;
        let seen = measured.as_ref().map_or(0.0, |fit| fit.cores(role, report.totals.answered_per_second) * 100.0);
        sums = (sums.0 + forecast, sums.1 + seen);
        add(&format!("{role:?}, % of a processor"), forecast, seen);
    }
    add("product in all, % of a processor", sums.0, sums.1);
    for (kind, stage) in &fit.stages {
        if stage.waits_for_model {
            let run_ms = stage.run_ms + args.model_latency.as_secs_f64() * 1e3;
            let busy = report.stages.get(kind).map_or(0.0, |seen| seen.runs * seen.run_mean_ms / 1e3);
            // Over the time that answers took in all, which is what the slots were watched for.
            let watched = report.load_seconds;
            add(&format!("{kind}, slots busy"), rate * stage.runs_per_answer * run_ms / 1e3, busy / watched);
        }
    }
    add("answers a second", rate, report.totals.answered_per_second);
    rows
}
