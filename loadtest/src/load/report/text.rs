//! A run's report for a terminal.

use std::fmt::Write;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::{Latency, Report};

pub(in crate::load) fn text(report: &Report) -> String {
    let mut out = String::new();
    for part in [loads(report), latencies(report), outcomes(report)] {
        let _ = writeln!(out, "{part}");
    }
    if !report.stages.is_empty() {
        let _ = writeln!(out, "{}", stages(report));
    }
    if !report.processes.is_empty() {
        let _ = writeln!(out, "{}", processes(report));
    }
    for limit in &report.limits {
        let word = if limit.kept { "kept  " } else { "BROKEN" };
        let seen = limit.seen.map_or("not seen".to_owned(), |seen| format!("{seen:.3}"));
        let _ = writeln!(out, "{word}  {}: {seen}, limit {}", limit.what, limit.limit);
    }
    out
}

fn loads(report: &Report) -> Table {
    let mut table = table(["load", "arrivals", "dropped", "answered", "delivered", "repeated"]);
    for load in &report.loads {
        let webhooks = |figure: fn(&super::Webhooks) -> u64| {
            load.webhooks.as_ref().map_or("–".to_owned(), |webhooks| figure(webhooks).to_string())
        };
        table.add_row([
            format!("{} ({})", load.name, load.kind),
            load.arrivals.to_string(),
            load.dropped.to_string(),
            load.answered.to_string(),
            webhooks(|webhooks| webhooks.delivered),
            webhooks(|webhooks| webhooks.repeated),
        ]);
    }
    table
}

fn latencies(report: &Report) -> Table {
    let mut table = table(["latency from due time, ms", "p50", "p90", "p99", "p99.9", "max"]);
    let mut add = |what: String, latency: &Option<Latency>| {
        if let Some(Latency { p50, p90, p99, p999, max }) = latency {
            let figures = [p50, p90, p99, p999, max].map(|figure| format!("{figure:.1}"));
            table.add_row([vec![what], figures.to_vec()].concat());
        }
    };
    for load in &report.loads {
        add(format!("{}: accepted", load.name), &load.submit);
        add(format!("{}: answered", load.name), &load.answer);
        add(format!("{}: event to receiver", load.name), &load.webhooks.and_then(|webhooks| webhooks.latency));
    }
    table
}

fn outcomes(report: &Report) -> Table {
    let mut table = table(["outcome", "count", "share"]);
    for load in &report.loads {
        let left = [("dropped, not sent", load.dropped), ("abandoned at the interrupt", load.abandoned)];
        let outcomes = load.outcomes.iter().map(|(outcome, count)| (outcome.as_str(), *count));
        for (outcome, count) in outcomes.chain(left).filter(|(_, count)| *count > 0) {
            let share = count as f64 * 100.0 / load.arrivals.max(1) as f64;
            table.add_row([format!("{}: {outcome}", load.name), count.to_string(), format!("{share:.2} %")]);
        }
    }
    table
}

fn stages(report: &Report) -> Table {
    let mut table = table(["job", "runs", "wait, mean ms", "run, mean ms", "slots busy", "CPU ms per answer"]);
    let answers = report.totals.answered.max(1) as f64;
    for (kind, stage) in &report.stages {
        table.add_row([
            kind.clone(),
            format!("{:.0}", stage.runs),
            format!("{:.2}", stage.wait_mean_ms),
            format!("{:.2}", stage.run_mean_ms),
            format!("{:.2}", stage.busy),
            format!("{:.2}", stage.cpu_mean_ms * stage.runs / answers),
        ]);
    }
    // On threads of its own.
    let embedding = format!("{:.2}", report.totals.embed_mean_ms);
    table.add_row(["embedding a question", "", "", &embedding, "", &embedding]);
    table
}

fn processes(report: &Report) -> Table {
    let mut table = table(["process", "CPU, %", "idle, %", "CPU ms per answer", "memory, MB"]);
    let mut sum = 0.0;
    for (name, process) in &report.processes {
        let idle = report.idle.get(name).map_or(0.0, |idle| idle.cores);
        let per_answer = process.cores / report.totals.answered_per_second.max(f64::MIN_POSITIVE) * 1e3;
        sum += per_answer;
        table.add_row([
            name.clone(),
            format!("{:.1}", process.cores * 100.0),
            format!("{:.1}", idle * 100.0),
            format!("{per_answer:.2}"),
            format!("{:.0}", process.resident_mb),
        ]);
    }
    table.add_row(["all", "", "", &format!("{sum:.2}"), ""]);
    table
}

pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
