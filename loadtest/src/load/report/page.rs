//! A run's report as one page that stands alone: it opens from a disk without a network.

use std::fmt::Write;

use super::chart::{Series, chart, escape, short};
use super::{LaneSeries, Latency, LoadReport, Report};
use crate::load::observe::{ProcessSample, Sample};

const STYLE: &str = include_str!("page.css");

pub(in crate::load) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{name}</title><style>{STYLE}</style><header><h1>{name}</h1><p>{}</p><p class=\"dim\">{}, {} processors, \
         {:.0} s of load</p></header>",
        escape(&report.description),
        escape(&report.began),
        report.processors,
        report.load_seconds,
        name = escape(&report.scenario),
    );
    verdict(&mut page, report);
    figures(&mut page, report);
    page.push_str("<section><h2>Latency and throughput</h2><div class=\"charts\">");
    for load in &report.loads {
        page.push_str(&latency(load));
        page.push_str(&throughput(load));
    }
    page.push_str("</div></section><section><h2>Queue</h2><div class=\"charts\">");
    page.push_str(&chart("Jobs waiting or running, by kind", "jobs", &lanes(report, |lane| Some(lane.depth))));
    page.push_str(&chart("Wait for a slot, by kind", "ms, mean of each second", &lanes(report, |lane| lane.wait_ms)));
    page.push_str(&chart(
        "Oldest job that was due, by kind",
        "seconds",
        &lanes(report, |lane| Some(lane.oldest_seconds)),
    ));
    page.push_str("</div></section><section><h2>Processes</h2><div class=\"charts\">");
    page.push_str(&chart("CPU", "% of one processor", &processes(report, |process| process.cores * 100.0)));
    page.push_str(&chart("Memory", "MB", &processes(report, |process| process.resident_mb)));
    page.push_str("</div></section>");
    tables(&mut page, report);
    page.push_str("</html>\n");
    page
}

fn verdict(page: &mut String, report: &Report) {
    if report.limits.is_empty() {
        return;
    }
    page.push_str("<section><ul class=\"limits\">");
    for limit in &report.limits {
        let (class, word) = if limit.kept { ("kept", "kept") } else { ("broken", "broken") };
        let seen = limit.seen.map_or("not seen".to_owned(), short);
        let what = escape(&limit.what);
        let _ =
            write!(page, "<li class=\"{class}\"><b>{word}</b> {what}: {seen} <span>limit {}</span></li>", limit.limit);
    }
    page.push_str("</ul></section>");
}

fn figures(page: &mut String, report: &Report) {
    let totals = report.totals;
    page.push_str("<section class=\"figures\">");
    let mut figure = |value: String, what: &str| {
        let _ = write!(page, "<div><b>{value}</b>{what}</div>");
    };
    figure(totals.arrivals.to_string(), "arrivals");
    figure(format!("{:.2} %", totals.answered as f64 * 100.0 / totals.arrivals.max(1) as f64), "answered");
    figure(format!("{:.1}", totals.answered_per_second), "answered per second");
    for load in &report.loads {
        if let Some(Latency { p50, p99, .. }) = load.answer {
            figure(format!("{} / {} ms", short(p50), short(p99)), &format!("{} p50 / p99", escape(&load.name)));
        }
    }
    let cores: f64 = report.processes.values().map(|process| process.cores).sum();
    if cores > 0.0 && totals.answered_per_second > 0.0 {
        figure(format!("{:.2} ms", cores / totals.answered_per_second * 1e3), "CPU per answer, all processes");
    }
    page.push_str("</section>");
}

fn latency(load: &LoadReport) -> String {
    let line = |name: &str, value: fn(&super::SecondReport) -> Option<f64>| Series {
        name: name.to_owned(),
        points: load.seconds.iter().enumerate().map(|(at, second)| (at as f64, value(second))).collect(),
    };
    let lines = [line("p50", |second| second.p50), line("p90", |second| second.p90), line("p99", |second| second.p99)];
    chart(&format!("{}: time to the answer", load.name), "ms, by the second an arrival was due", &lines)
}

fn throughput(load: &LoadReport) -> String {
    let line = |name: &str, value: fn(&super::SecondReport) -> u64| Series {
        name: name.to_owned(),
        points: load.seconds.iter().enumerate().map(|(at, second)| (at as f64, Some(value(second) as f64))).collect(),
    };
    let lines = [line("offered", |second| second.due), line("finished", |second| second.finished)];
    chart(&format!("{}: offered and finished", load.name), "per second", &lines)
}

/// A line for each kind of job that ran; of the others there is nothing to see.
fn lanes(report: &Report, value: LaneSeries) -> Vec<Series> {
    let lines = report.stages.keys().map(|kind| Series {
        name: kind.clone(),
        points: report.samples.iter().map(|sample| (sample.at, sample.lanes.get(kind).and_then(value))).collect(),
    });
    lines.collect()
}

fn processes(report: &Report, value: fn(&ProcessSample) -> f64) -> Vec<Series> {
    let points = |name: &str| {
        let point = |sample: &Sample| (sample.at, sample.processes.get(name).map(value));
        report.samples.iter().map(point).collect()
    };
    report.processes.keys().map(|name| Series { name: name.clone(), points: points(name) }).collect()
}

fn tables(page: &mut String, report: &Report) {
    page.push_str("<section><h2>Where the time goes</h2><div class=\"charts\">");
    if !report.stages.is_empty() {
        page.push_str("<table><tr><th>job<th>runs<th>wait, mean ms<th>run, mean ms<th>slots busy");
        for (kind, stage) in &report.stages {
            let figures = [stage.runs, stage.wait_mean_ms, stage.run_mean_ms, stage.busy].map(short).join("<td>");
            let _ = write!(page, "<tr><td>{}<td>{figures}", escape(kind));
        }
        page.push_str("</table>");
    }
    if !report.processes.is_empty() {
        page.push_str("<table><tr><th>process<th>CPU, %<th>CPU ms per answer<th>memory, MB");
        let rate = report.totals.answered_per_second.max(f64::MIN_POSITIVE);
        for (name, process) in &report.processes {
            let figures = [process.cores * 100.0, process.cores / rate * 1e3, process.resident_mb].map(short);
            let _ = write!(page, "<tr><td>{}<td>{}", escape(name), figures.join("<td>"));
        }
        page.push_str("</table>");
    }
    page.push_str("<table><tr><th>outcome<th>count");
    for load in &report.loads {
        let dropped = (load.dropped > 0).then(|| ("dropped, not sent".to_owned(), load.dropped));
        for (outcome, count) in load.outcomes.clone().into_iter().chain(dropped) {
            let _ = write!(page, "<tr><td>{}: {}<td>{count}", escape(&load.name), escape(&outcome));
        }
        if let Some(webhooks) = load.webhooks {
            let name = escape(&load.name);
            let _ = write!(page, "<tr><td>{name}: events delivered<td>{}", webhooks.delivered);
            let _ = write!(page, "<tr><td>{name}: delivered again<td>{}", webhooks.repeated);
            let _ = write!(page, "<tr><td>{name}: bad signatures<td>{}", webhooks.bad_signatures);
        }
    }
    page.push_str("</table></div></section>");
}
