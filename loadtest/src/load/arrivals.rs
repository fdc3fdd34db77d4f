//! When each arrival is due: an open model, in which arrivals wait for nobody.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde::Deserialize;

use super::scenario::Phase;

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// At equal distances.
    #[default]
    Even,
    /// As from many senders who know nothing of each other: exponential distances.
    Poisson,
}

/// The moments of a list of phases, counted from its start, first to last.
///
/// The expected number of arrivals until a moment is the integral of the rate. Each arrival takes one more of it, or an
/// exponential amount of mean one, and its moment is where the integral reaches the sum: rounding does not add up, and a ramp
/// is as exact as a constant rate.
pub(crate) struct Arrivals<'a> {
    phases: &'a [Phase],
    spread: Spread,
    dice: StdRng,
    /// Expected arrivals until the next one, from the start of the present phase.
    reached: f64,
    begun: Duration,
}

impl<'a> Arrivals<'a> {
    pub(crate) fn new(phases: &'a [Phase], spread: Spread, mut dice: StdRng) -> Self {
        let reached = match spread {
            Spread::Even => 0.0,
            Spread::Poisson => exponential(&mut dice),
        };
        Self { phases, spread, dice, reached, begun: Duration::ZERO }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        loop {
            let (phase, rest) = self.phases.split_first()?;
            // A hair's breadth, so that a sum of fractions does not end one arrival early or late.
            if self.reached < phase.expected() - 1e-9 {
                let due = self.begun + phase.moment_of(self.reached);
                self.reached += match self.spread {
                    Spread::Even => 1.0,
                    Spread::Poisson => exponential(&mut self.dice),
                };
                return Some(due);
            }
            self.reached = (self.reached - phase.expected()).max(0.0);
            self.begun += phase.duration;
            self.phases = rest;
        }
    }
}

impl Phase {
    fn last_rate(&self) -> f64 {
        self.to.unwrap_or(self.rate)
    }

    /// Arrivals in the whole phase.
    fn expected(&self) -> f64 {
        (self.rate + self.last_rate()) / 2.0 * self.duration.as_secs_f64()
    }

    /// Where the integral of the rate reaches `arrivals`: the root of `slope / 2 · t² + rate · t = arrivals`, in the form that
    /// holds for a slope of zero.
    fn moment_of(&self, arrivals: f64) -> Duration {
        let slope = (self.last_rate() - self.rate) / self.duration.as_secs_f64();
        let root = (self.rate * self.rate + 2.0 * slope * arrivals).max(0.0).sqrt();
        let seconds = if arrivals == 0.0 { 0.0 } else { 2.0 * arrivals / (self.rate + root) };
        Duration::from_secs_f64(seconds.min(self.duration.as_secs_f64()))
    }
}

fn exponential(dice: &mut StdRng) -> f64 {
    // 1 - [0, 1) is never zero.
    -(1.0 - dice.random::<f64>()).ln()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn phase(rate: f64, to: Option<f64>, seconds: u64) -> Phase {
        Phase { rate, to, duration: Duration::from_secs(seconds) }
    }

    fn moments(phases: &[Phase], spread: Spread) -> Vec<f64> {
        Arrivals::new(phases, spread, StdRng::seed_from_u64(1)).map(|due| due.as_secs_f64()).collect()
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced_and_does_not_drift() {
        let arrivals = moments(&[phase(333.3, None, 3_600)], Spread::Even);

        assert_eq!(arrivals.len(), 1_199_880);
        assert!((arrivals[1] - 1.0 / 333.3).abs() < 1e-6);
        assert!((arrivals[arrivals.len() - 1] - 1_199_879.0 / 333.3).abs() < 1e-6);
    }

    #[test]
    fn phases_follow_each_other() {
        let arrivals = moments(&[phase(0.5, None, 4), phase(2.0, None, 1)], Spread::Even);
        assert_eq!(arrivals, [0.0, 2.0, 4.0, 4.5]);
    }

    #[test]
    fn a_ramp_has_as_many_arrivals_as_its_area() {
        let arrivals = moments(&[phase(0.0, Some(100.0), 10)], Spread::Even);

        assert_eq!(arrivals.len(), 500);
        let in_first_half = arrivals.iter().filter(|&&moment| moment < 5.0).count();
        assert_eq!(in_first_half, 125);
        assert!(moments(&[phase(100.0, Some(0.0), 10)], Spread::Even).is_sorted());
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_exponential_distances() {
        let arrivals = moments(&[phase(50.0, None, 1_000)], Spread::Poisson);

        assert!((arrivals.len() as f64 - 50_000.0).abs() < 4.0 * 50_000_f64.sqrt(), "{}", arrivals.len());
        let distances: Vec<f64> = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let variance = distances.iter().map(|distance| (distance - mean).powi(2)).sum::<f64>() / distances.len() as f64;
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "an exponential deviates by its mean");
    }
}
