//! How long one request is let wait, and how its tokens come.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::Config;

/// The 99th percentile of the normal distribution.
const Z99: f64 = 2.326;
/// Longest latency that a throw may make.
const LONGEST: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// Before the first token.
    pub(super) latency: Duration,
    /// Between two tokens, at the mean.
    pub(super) pause: Duration,
    jitter: f64,
    dice: StdRng,
}

impl Pace {
    pub(super) fn roll(config: &Config, dice: &mut StdRng) -> Self {
        let pause = match config.tokens_per_second > 0.0 {
            true => Duration::from_secs_f64(config.tokens_per_second.recip()),
            false => Duration::ZERO,
        };
        let latency = match config.latency_p99 {
            Some(p99) => log_normal(config.latency, p99, dice),
            None => config.latency,
        };
        Self { latency, pause, jitter: config.token_jitter.clamp(0.0, 1.0), dice: StdRng::from_rng(dice) }
    }

    pub(super) fn next_pause(&mut self) -> Duration {
        if self.jitter == 0.0 {
            return self.pause;
        }
        self.pause.mul_f64(1.0 + self.jitter * self.dice.random_range(-1.0..=1.0))
    }
}

/// A throw of the log-normal distribution with this median and 99th percentile.
fn log_normal(median: Duration, p99: Duration, dice: &mut StdRng) -> Duration {
    let sigma = (p99.as_secs_f64() / median.as_secs_f64().max(1e-3)).ln().max(0.0) / Z99;
    // Box and Muller's way from two even throws to a normal one.
    let (first, second): (f64, f64) = (1.0 - dice.random::<f64>(), dice.random());
    let normal = (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos();
    Duration::from_secs_f64((median.as_secs_f64() * (sigma * normal).exp()).min(LONGEST.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_the_median_and_the_tail_that_were_asked_for() {
        let (median, p99) = (Duration::from_millis(200), Duration::from_secs(1));
        let config = Config { latency: median, latency_p99: Some(p99), ..Config::default() };
        let mut dice = StdRng::seed_from_u64(3);
        let mut throws: Vec<f64> = (0..20_000).map(|_| Pace::roll(&config, &mut dice).latency.as_secs_f64()).collect();
        throws.sort_by(f64::total_cmp);

        assert!((throws[10_000] - 0.2).abs() < 0.01, "{}", throws[10_000]);
        assert!((throws[19_800] - 1.0).abs() < 0.1, "{}", throws[19_800]);
    }

    #[test]
    fn pauses_stay_around_the_pace() {
        let config = Config { tokens_per_second: 100.0, token_jitter: 0.5, ..Config::default() };
        let mut pace = Pace::roll(&config, &mut StdRng::seed_from_u64(3));
        let pauses: Vec<f64> = (0..1_000).map(|_| pace.next_pause().as_secs_f64()).collect();

        assert!(pauses.iter().all(|pause| (0.005..=0.015).contains(pause)));
        assert!((pauses.iter().sum::<f64>() / 1_000.0 - 0.01).abs() < 0.0005);
    }
}
