//! Whether a run kept the limits of its scenario.

use super::{Limit, LoadReport, Report};
use crate::load::scenario::{LoadLimits, Scenario};

/// One line for each figure that is limited. A figure that was not seen has not been kept.
pub(in crate::load) fn judge(scenario: &Scenario, report: &Report) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (load, seen) in scenario.loads.iter().zip(&report.loads) {
        of_load(load.limits, seen, &mut limits);
    }
    let run = scenario.limits;
    at_most(&mut limits, "age of the oldest job that was due, s", run.max_oldest_job_seconds, watched(report));
    at_most(&mut limits, "median time of a scrape, ms", run.max_scrape_ms, report.totals.median_scrape_ms);
    limits
}

/// The age is known when any lane was seen.
fn watched(report: &Report) -> Option<f64> {
    report.samples.iter().any(|sample| !sample.lanes.is_empty()).then_some(report.totals.oldest_job_seconds)
}

fn of_load(limits: LoadLimits, seen: &LoadReport, into: &mut Vec<Limit>) {
    let name = &seen.name;
    let answered = seen.answered as f64 / seen.arrivals.max(1) as f64;
    at_least(into, &format!("{name}: answered, share of arrivals"), limits.min_answered_ratio, Some(answered));
    let answer = seen.answer;
    at_most(into, &format!("{name}: answer p50, ms"), limits.max_p50_ms, answer.map(|answer| answer.p50));
    at_most(into, &format!("{name}: answer p99, ms"), limits.max_p99_ms, answer.map(|answer| answer.p99));
    let submit = seen.submit.map(|submit| submit.p99);
    at_most(into, &format!("{name}: submit p99, ms"), limits.max_submit_p99_ms, submit);
    let webhooks = seen.webhooks;
    let delivered = webhooks.map(|webhooks| webhooks.delivered as f64 / seen.answered.max(1) as f64);
    at_least(into, &format!("{name}: delivered, share of answered"), limits.min_delivered_ratio, delivered);
    let repeated = webhooks.map(|webhooks| webhooks.repeated as f64);
    let most = limits.max_repeated_deliveries.map(|most| most as f64);
    at_most(into, &format!("{name}: deliveries that were repeated"), most, repeated);
}

fn at_most(into: &mut Vec<Limit>, what: &str, limit: Option<f64>, seen: Option<f64>) {
    check(into, what, limit, seen, |seen, limit| seen <= limit);
}

fn at_least(into: &mut Vec<Limit>, what: &str, limit: Option<f64>, seen: Option<f64>) {
    check(into, what, limit, seen, |seen, limit| seen >= limit);
}

fn check(into: &mut Vec<Limit>, what: &str, limit: Option<f64>, seen: Option<f64>, kept: fn(f64, f64) -> bool) {
    if let Some(limit) = limit {
        let kept = seen.is_some_and(|seen| kept(seen, limit));
        into.push(Limit { what: what.to_owned(), limit, seen, kept });
    }
}
