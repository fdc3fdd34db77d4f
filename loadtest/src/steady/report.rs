//! The report of a run and its verdict.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use hdrhistogram::Histogram;

use super::Args;
use super::flight::Outcome;
use super::tally::Tally;

/// Prints the report; true when every limit that was set is kept.
pub(super) fn print(args: &Args, tally: &Tally) -> bool {
    println!("\n{}", rates(args, tally));
    println!("{}", latencies(tally));
    println!("{}", outcomes(tally));

    let p99_ms = tally.answer.value_at_quantile(0.99) as f64 / 1_000.0;
    let mut kept = true;
    if let Some(limit) = args.max_p99_ms {
        kept &= check(
            p99_ms <= limit as f64 && tally.finished() > 0,
            &format!("answer p99 {p99_ms:.1} ms, limit {limit} ms"),
        );
    }
    if let Some(limit) = args.min_answered_ratio {
        let ratio = tally.answered_ratio();
        kept &= check(ratio >= limit, &format!("answered {:.2} %, limit {:.2} %", ratio * 100.0, limit * 100.0));
    }
    kept
}

fn check(kept: bool, what: &str) -> bool {
    println!("{}  {what}", if kept { "kept  " } else { "BROKEN" });
    kept
}

fn rates(args: &Args, tally: &Tally) -> Table {
    // The last arrival is due one interval before the sending time is over.
    let sending = tally.sending_time.as_secs_f64() + args.rate.recip();
    let finishing = tally.finishing_time.as_secs_f64();
    let mut table = table(["rate", "messages", "per second"]);
    table.add_row(row("offered", tally.due(), args.rate));
    table.add_row(row("dropped, not sent", tally.dropped, tally.dropped as f64 / sending));
    table.add_row(row("sent", tally.sent, tally.sent as f64 / sending));
    table.add_row(row("accepted", tally.accepted(), tally.accepted() as f64 / sending));
    table.add_row(row("finished", tally.finished(), tally.finished() as f64 / finishing.max(f64::MIN_POSITIVE)));
    table
}

fn row(name: &str, messages: u64, per_second: f64) -> [String; 3] {
    [name.to_owned(), messages.to_string(), format!("{per_second:.2}")]
}

fn latencies(tally: &Tally) -> Table {
    let mut table = table(["latency from due time, ms", "p50", "p90", "p99", "max"]);
    for (name, histogram) in [("submit", &tally.submit), ("answer", &tally.answer)] {
        table.add_row([vec![name.to_owned()], quantiles(histogram)].concat());
    }
    table
}

fn quantiles(histogram: &Histogram<u64>) -> Vec<String> {
    if histogram.is_empty() {
        return vec!["–".to_owned(); 4];
    }
    [0.5, 0.9, 0.99, 1.0]
        .map(|quantile| format!("{:.1}", histogram.value_at_quantile(quantile) as f64 / 1_000.0))
        .to_vec()
}

fn outcomes(tally: &Tally) -> Table {
    let mut table = table(["outcome", "messages", "share"]);
    let mut add = |name: String, count: u64| {
        let share = count as f64 * 100.0 / tally.due().max(1) as f64;
        table.add_row([name, count.to_string(), format!("{share:.2} %")]);
    };
    for (outcome, &count) in &tally.outcomes {
        add(describe(*outcome), count);
    }
    for (name, count) in [("dropped, not sent", tally.dropped), ("abandoned at the interrupt", tally.abandoned)] {
        if count > 0 {
            add(name.to_owned(), count);
        }
    }
    table
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Finished(status) => status.to_string(),
        Outcome::Refused(status) => format!("refused with {status}"),
        Outcome::Broken => "no usable reply".to_owned(),
        Outcome::TimedOut => "not final in time".to_owned(),
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
