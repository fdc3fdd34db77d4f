//! Times, and what is said of many of them.

use std::time::{Duration, Instant};

/// Times of one kind of thing.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Waits for something and notes how long it took.
    pub async fn note<T>(&mut self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let done = work.await;
        self.0.push(started.elapsed());
        done
    }

    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A line of a table that [`head`] began.
    pub fn print(&self, name: &str) {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| self.percentile(share));
        println!("  {name:<34} {p50:>8.2} {p99:>8.2} {max:>8.2}");
    }

    /// The time that this share of them took at most, in milliseconds; 0 without any.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut times = self.0.clone();
        times.sort_unstable();
        let at = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
        times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Begins a table of times.
pub fn head(what: &str) {
    println!("  {what:<34} {:>8} {:>8} {:>8}", "p50", "p99", "max");
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Megabytes that this process holds; 0 where the system does not say.
pub fn resident_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1024
}
