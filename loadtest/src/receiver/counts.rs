//! What a receiver got, in numbers.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;

use super::{Delivery, Signature};

/// An hour, in microseconds; a longer latency is recorded as this.
const LONGEST_LATENCY: u64 = 3_600_000_000;

#[derive(Clone, Debug)]
pub struct Counts {
    pub received: u64,
    /// Distinct ids that were answered with a success.
    pub accepted: u64,
    /// Accepted again after they had been accepted.
    pub repeated: u64,
    /// Answered with something else than a success, bad signatures included.
    pub refused: u64,
    pub bad_signatures: u64,
    /// From the event to its first accepted delivery, in microseconds.
    pub latencies: Histogram<u64>,
    seen: HashSet<String>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            received: 0,
            accepted: 0,
            repeated: 0,
            refused: 0,
            bad_signatures: 0,
            latencies: Histogram::new_with_max(LONGEST_LATENCY, 3).expect("three digits are allowed"),
            seen: HashSet::new(),
        }
    }
}

impl Counts {
    pub(super) fn add(&mut self, delivery: &Delivery) {
        self.received += 1;
        self.bad_signatures += u64::from(matches!(delivery.signature, Signature::Invalid(_)));
        if !(200..300).contains(&delivery.status) {
            self.refused += 1;
        } else if self.seen.insert(delivery.id.clone()) {
            self.accepted += 1;
            if let Some(happened) = happened(delivery) {
                let latency = (delivery.at - happened).num_microseconds().unwrap_or_default().max(0);
                self.latencies.saturating_record(latency.unsigned_abs());
            }
        } else {
            self.repeated += 1;
        }
    }

    /// Adds what another receiver got.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.accepted += other.accepted;
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.bad_signatures += other.bad_signatures;
        self.latencies.add(&other.latencies).expect("of the same shape");
    }
}

fn happened(delivery: &Delivery) -> Option<DateTime<Utc>> {
    delivery.body["timestamp"].as_str()?.parse().ok()
}
