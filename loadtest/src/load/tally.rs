//! What a load adds up to, in all and second by second.

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
    /// From the start to the last end that was seen.
    pub(super) finishing_time: Duration,
    pub(super) sent: u64,
    pub(super) dropped: u64,
    /// Sent, and given up when the run was interrupted.
    pub(super) abandoned: u64,
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    pub(super) submit: Histogram<u64>,
    pub(super) answer: Histogram<u64>,
    pub(super) seconds: Vec<Second>,
}

/// One second of a load.
#[derive(Debug)]
pub(super) struct Second {
    /// Arrivals that were due in it.
    pub(super) due: u64,
    /// Ends that were seen in it.
    pub(super) finished: u64,
    /// Of the arrivals that were due in it, with two significant digits.
    pub(super) answer: Histogram<u64>,
}

impl Default for Second {
    fn default() -> Self {
        Self { due: 0, finished: 0, answer: Histogram::new(2).expect("two digits are allowed") }
    }
}

impl Tally {
    pub(super) fn new(start: Instant) -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_LATENCY, 3).expect("three digits are allowed");
        Self {
            start,
            finishing_time: Duration::ZERO,
            sent: 0,
            dropped: 0,
            abandoned: 0,
            outcomes: BTreeMap::new(),
            submit: histogram(),
            answer: histogram(),
            seconds: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, due: Instant) {
        self.sent += 1;
        self.second(due).due += 1;
    }

    pub(super) fn drop_arrival(&mut self, due: Instant) {
        self.dropped += 1;
        self.second(due).due += 1;
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
            // Cannot fail: it grows.
            let _ = self.second(flight.due).answer.record(latency.as_micros() as u64);
            self.second(flight.due + latency).finished += 1;
            self.finishing_time = self.finishing_time.max(flight.due + latency - self.start);
        }
    }

    fn second(&mut self, moment: Instant) -> &mut Second {
        let index = moment.saturating_duration_since(self.start).as_secs() as usize;
        if self.seconds.len() <= index {
            self.seconds.resize_with(index + 1, Second::default);
        }
        &mut self.seconds[index]
    }

    /// Arrivals that were due, sent or not.
    pub(super) fn due(&self) -> u64 {
        self.sent + self.dropped
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.sent - self.outcomes.values().sum::<u64>() - self.abandoned
    }

    /// Messages that ended `answered` and documents that became searchable.
    pub(super) fn answered(&self) -> u64 {
        [Outcome::Finished(MessageStatus::Answered), Outcome::Searchable]
            .iter()
            .filter_map(|outcome| self.outcomes.get(outcome))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_belongs_to_the_second_its_arrival_was_due_and_its_end_to_the_one_it_was_seen_in() {
        let start = Instant::now();
        let mut tally = Tally::new(start);
        let due = start + Duration::from_millis(900);
        tally.send(due);
        let latency = Some(Duration::from_millis(2_500));
        tally.record(&Flight { due, submitted: latency, finished: latency, outcome: Outcome::Searchable });
        tally.drop_arrival(start + Duration::from_secs(1));

        let seconds: Vec<_> = tally.seconds.iter().map(|second| (second.due, second.finished)).collect();
        assert_eq!(seconds, [(1, 0), (1, 0), (0, 0), (0, 1)]);
        let p50 = tally.seconds[0].answer.value_at_quantile(0.5) as f64;
        assert!((p50 / 2.5e6 - 1.0).abs() < 0.02, "{p50}");
        assert_eq!((tally.due(), tally.answered(), tally.in_flight()), (2, 1, 0));
    }
}
