//! What a run shows while it lasts: a line per load that is kept up to date on a terminal, and now and then a line elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Instant, interval};

use super::scenario::Load;
use super::tally::Tally;

const ON_TERMINAL: Duration = Duration::from_millis(500);
const ELSEWHERE: Duration = Duration::from_secs(5);

pub(super) struct Watched {
    pub(super) load: Arc<Load>,
    pub(super) tally: Arc<Mutex<Tally>>,
}

/// Shows until it is dropped.
pub(super) async fn show(loads: Vec<Watched>, start: Instant) {
    let on_terminal = stderr().is_terminal();
    let style = ProgressStyle::with_template("{prefix:>12} {bar:24} {msg}").expect("the template is well formed");
    let bars = MultiProgress::new();
    let bar = |watched: &Watched| {
        let bar = ProgressBar::new(watched.load.duration().as_millis() as u64).with_style(style.clone());
        bars.add(bar.with_prefix(watched.load.name.clone()))
    };
    let shown: Vec<ProgressBar> = if on_terminal { loads.iter().map(bar).collect() } else { Vec::new() };
    let mut ticks = interval(if on_terminal { ON_TERMINAL } else { ELSEWHERE });
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let elapsed = start.elapsed();
        for (number, watched) in loads.iter().enumerate() {
            let line = line(&watched.load, &watched.tally.lock().expect("no holder panics"), elapsed);
            match shown.get(number) {
                Some(bar) => {
                    bar.set_position(elapsed.as_millis() as u64);
                    bar.set_message(line);
                }
                None => println!("{:>4.0} s  {}: {line}", elapsed.as_secs_f64(), watched.load.name),
            }
        }
    }
}

/// Of the last full second: what was offered and what came to its end; then what is under way, and the latency so far.
fn line(load: &Load, tally: &Tally, elapsed: Duration) -> String {
    let last = (elapsed.as_secs() as usize).checked_sub(1).and_then(|second| tally.seconds.get(second));
    let (due, finished) = last.map_or((0, 0), |second| (second.due, second.finished));
    let p99 = tally.answer.value_at_quantile(0.99) as f64 / 1e3;
    let p50 = tally.answer.value_at_quantile(0.5) as f64 / 1e3;
    let ending = if elapsed > load.duration() { ", no more arrivals" } else { "" };
    format!(
        "{due}/s offered, {finished}/s finished, {} under way, p50 {p50:.0} ms, p99 {p99:.0} ms, {} dropped{ending}",
        tally.in_flight(),
        tally.dropped,
    )
}
