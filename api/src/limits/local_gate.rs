//! The gate of one process, for while Redis is away or slow.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Limit, Standing};

/// Limits remembered at once, 10 MB of them. One that is full again is forgotten first; when all are in use, new ones
/// are refused.
const CAPACITY: usize = 100_000;

/// Each process allows a share of every limit. Begins full, so a loss of Redis admits that share once more at most.
pub struct LocalGate {
    started: Instant,
    /// Percent of a limit that this process allows.
    share: i64,
    arrivals: Mutex<HashMap<String, i64>>,
}

impl LocalGate {
    pub fn new(share: u8) -> Self {
        Self { started: Instant::now(), share: share.into(), arrivals: Mutex::default() }
    }

    pub fn decide(&self, limits: &[Limit]) -> Vec<Standing> {
        let now = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX / 2);
        self.decide_at(limits, now)
    }

    fn decide_at(&self, limits: &[Limit], now: i64) -> Vec<Standing> {
        let limits: Vec<Limit> = limits.iter().map(|limit| limit.share(self.share)).collect();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() + limits.len() > CAPACITY {
            arrivals.retain(|_, arrival| *arrival > now);
        }
        let room = arrivals.len() + limits.len() <= CAPACITY;
        let known: Vec<Option<i64>> = limits.iter().map(|limit| arrivals.get(&limit.key).copied()).collect();
        let waits = limits.iter().zip(&known).map(|(limit, arrival)| match (arrival, room) {
            (None, false) => limit.rate().interval,
            (arrival, _) => limit.rate().wait(arrival.unwrap_or(now), now),
        });
        let waits: Vec<i64> = waits.collect();
        let passes = waits.iter().all(|wait| *wait == 0);
        let mut standings = Vec::with_capacity(limits.len());
        for ((limit, arrival), wait) in limits.into_iter().zip(known).zip(waits) {
            let mut arrival = arrival.unwrap_or(now);
            if passes {
                arrival = limit.rate().charge(arrival, now);
                arrivals.insert(limit.key.clone(), arrival);
            }
            standings.push(limit.standing(limit.rate().judge(arrival, now, wait)));
        }
        standings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(key: &str, per_minute: i64) -> Limit {
        Limit { policy: "tenant", key: key.to_owned(), per_minute }
    }

    #[test]
    fn a_share_of_the_limit_passes() {
        let gate = LocalGate::new(50);
        let passed = (0..20).filter(|_| gate.decide_at(&[limit("a", 10)], 0).iter().all(Standing::passes)).count();
        assert_eq!(passed, 5);
        assert!(gate.decide_at(&[limit("a", 10)], 12_000_000).iter().all(Standing::passes));
        assert!(LocalGate::new(1).decide_at(&[limit("a", 10)], 0).iter().all(Standing::passes), "at least one");
    }

    #[test]
    fn a_request_is_charged_to_all_of_its_limits_or_to_none() {
        let gate = LocalGate::new(100);
        let both = [limit("a", 3), limit("b", 1)];
        assert!(gate.decide_at(&both, 0).iter().all(Standing::passes));
        for _ in 0..10 {
            let refused = gate.decide_at(&both, 0);
            assert_eq!(refused.iter().map(Standing::passes).collect::<Vec<_>>(), [true, false]);
        }
        assert_eq!(gate.decide_at(&[limit("a", 3)], 0)[0].left, 1);
    }

    #[test]
    fn memory_is_bounded_and_a_full_gate_is_not_open() {
        let gate = LocalGate::new(100);
        for n in 0..CAPACITY {
            gate.decide_at(&[limit(&n.to_string(), 60)], 0);
        }
        assert!(!gate.decide_at(&[limit("one more", 60)], 0)[0].passes());
        assert!(gate.decide_at(&[limit("5", 60)], 0)[0].passes(), "known ones go on");
        assert!(gate.decide_at(&[limit("one more", 60)], 3_000_000)[0].passes(), "expired ones make room");
        assert!(gate.arrivals.lock().unwrap().len() < 10);
    }
}
