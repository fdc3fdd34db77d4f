//! What the run adds up to.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::flight::{Flight, Outcome};
use crate::client::MessageStatus;

/// One hour, in microseconds; a longer latency is recorded as this.
pub(crate) const LONGEST_LATENCY: u64 = 3_600_000_000;

/// Latencies are kept in microseconds with three significant digits.
#[derive(Debug)]
pub(super) struct Tally {
    start: Instant,
    pub(super) sending_time: Duration,
    /// From the start to the last message that came to its end.
    pub(super) finishing_time: Duration,
    pub(super) sent: u64,
    pub(super) dropped: u64,
    /// Sent, and given up when the run was interrupted.
    pub(super) abandoned: u64,
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    pub(super) submit: Histogram<u64>,
    pub(super) answer: Histogram<u64>,
}

impl Tally {
    pub(super) fn new(start: Instant) -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_LATENCY, 3).expect("three digits are allowed");
        Self {
            start,
            sending_time: Duration::ZERO,
            finishing_time: Duration::ZERO,
            sent: 0,
            dropped: 0,
            abandoned: 0,
            outcomes: BTreeMap::new(),
            submit: histogram(),
            answer: histogram(),
        }
    }

    pub(super) fn send(&mut self) {
        self.sent += 1;
    }

    pub(super) fn drop_arrival(&mut self) {
        self.dropped += 1;
    }

    pub(super) fn end_sending(&mut self) {
        self.sending_time = self.start.elapsed();
    }

    pub(super) fn abandon(&mut self, flights: u64) {
        self.abandoned = flights;
    }

    pub(super) fn record(&mut self, flight: &Flight) {
        *self.outcomes.entry(flight.outcome).or_default() += 1;
        if let Some(latency) = flight.submitted {
            self.submit.saturating_record(latency.as_micros() as u64);
        }
        if let Some(latency) = flight.finished {
            self.answer.saturating_record(latency.as_micros() as u64);
            self.finishing_time = self.start.elapsed();
        }
    }

    /// Arrivals that were due, sent or not.
    pub(super) fn due(&self) -> u64 {
        self.sent + self.dropped
    }

    pub(super) fn accepted(&self) -> u64 {
        self.submit.len()
    }

    pub(super) fn finished(&self) -> u64 {
        self.answer.len()
    }

    /// The share of due arrivals that ended `answered`.
    pub(super) fn answered_ratio(&self) -> f64 {
        let answered = self.outcomes.get(&Outcome::Finished(MessageStatus::Answered));
        *answered.unwrap_or(&0) as f64 / self.due().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_arrivals_count_against_the_ratio() {
        let mut tally = Tally::new(Instant::now());
        let answered = Flight {
            submitted: Some(Duration::from_millis(3)),
            finished: Some(Duration::from_millis(40)),
            outcome: Outcome::Finished(MessageStatus::Answered),
        };
        for _ in 0..3 {
            tally.send();
            tally.record(&answered);
        }
        tally.drop_arrival();

        assert_eq!(tally.answered_ratio(), 0.75);
        assert_eq!((tally.due(), tally.accepted(), tally.finished()), (4, 3, 3));
        assert!(tally.answer.value_at_quantile(0.5).abs_diff(40_000) <= 40);
    }
}
