//! When each arrival is due.

use std::time::Duration;

use tokio::time::Instant;

/// Evenly spaced arrivals. Each is computed from the start, so that rounding does not add up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    total: u64,
}

impl Schedule {
    pub(crate) fn new(rate: f64, duration: Duration) -> Self {
        Self { rate, total: (rate * duration.as_secs_f64()).round() as u64 }
    }

    /// The moments from `start` on, first to last.
    pub(crate) fn arrivals(self, start: Instant) -> impl Iterator<Item = Instant> {
        (0..self.total).map(move |number| start + Duration::from_secs_f64(number as f64 / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_evenly_spaced() {
        let start = Instant::now();
        let arrivals: Vec<_> = Schedule::new(4.0, Duration::from_secs(2)).arrivals(start).collect();

        assert_eq!(arrivals.len(), 8);
        for (number, at) in arrivals.into_iter().enumerate() {
            assert_eq!(at - start, Duration::from_millis(250 * number as u64));
        }
    }

    #[test]
    fn an_odd_rate_does_not_drift() {
        let start = Instant::now();
        let arrivals: Vec<_> = Schedule::new(333.3, Duration::from_secs(3_600)).arrivals(start).collect();

        assert_eq!(arrivals.len(), 1_199_880);
        let last = (arrivals[arrivals.len() - 1] - start).as_secs_f64();
        assert!((last - 1_199_879.0 / 333.3).abs() < 1e-6);
    }

    #[test]
    fn a_slow_rate_starts_at_once() {
        let start = Instant::now();
        let arrivals: Vec<_> = Schedule::new(0.5, Duration::from_secs(3)).arrivals(start).collect();
        assert_eq!(arrivals, [start, start + Duration::from_secs(2)]);
    }
}
