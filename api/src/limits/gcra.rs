//! The generic cell rate algorithm (ITU-T I.371): a limit is one time-stamp, the arrival at which it is full again.
//!
//! `gcra.lua` is the same arithmetic on Redis; a test holds the two against each other.

/// Microseconds of a minute.
const MINUTE: i64 = 60_000_000;

/// A rate: so many at once, and one more every `interval` from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Microseconds.
    pub interval: i64,
    pub burst: i64,
}

/// Where one limit stands towards a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// Requests left.
    pub left: i64,
    /// Microseconds until the limit is full again.
    pub full_after: i64,
    /// Microseconds until a request passes.
    pub wait: i64,
}

impl Rate {
    /// `requests` at once, and as many a minute. At least one: nothing passes a limit of none, without any arithmetic.
    pub fn per_minute(requests: i64) -> Self {
        let burst = requests.clamp(1, MINUTE);
        // Rounded up: never more than the limit.
        Self { interval: (MINUTE + burst - 1) / burst, burst }
    }

    fn full(self) -> i64 {
        self.interval * self.burst
    }

    /// The arrival to reckon with. One beyond the limit's own reach was left by a higher limit.
    fn current(self, arrival: i64, now: i64) -> i64 {
        arrival.max(now).min(now + self.full())
    }

    /// Microseconds until a request passes; 0 when it may now.
    pub fn wait(self, arrival: i64, now: i64) -> i64 {
        (self.current(arrival, now) + self.interval - now - self.full()).max(0)
    }

    /// The arrival after one request more.
    pub fn charge(self, arrival: i64, now: i64) -> i64 {
        self.current(arrival, now) + self.interval
    }

    /// What is left at an arrival.
    pub fn judge(self, arrival: i64, now: i64, wait: i64) -> Judged {
        let arrival = self.current(arrival, now);
        Judged { left: (now + self.full() - arrival) / self.interval, full_after: arrival - now, wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_request_per_interval() {
        let rate = Rate::per_minute(120);
        assert_eq!(rate, Rate { interval: 500_000, burst: 120 });
        let mut arrival = 0;
        let start = 1_700_000_000_000_000;
        for left in (0..120).rev() {
            assert_eq!(rate.wait(arrival, start), 0);
            arrival = rate.charge(arrival, start);
            assert_eq!(rate.judge(arrival, start, 0).left, left);
        }
        assert_eq!(rate.wait(arrival, start), 500_000);
        assert_eq!(rate.wait(arrival, start + 499_999), 1);
        assert_eq!(rate.wait(arrival, start + 500_000), 0);
        arrival = rate.charge(arrival, start + 500_000);
        assert_eq!(rate.wait(arrival, start + 500_000), 500_000);
        assert_eq!(rate.judge(arrival, start + 500_000, 0).full_after, 60_000_000);
    }

    #[test]
    fn a_limit_never_lets_more_through_than_it_says() {
        for requests in [1, 7, 50, 2_999, 1_000_000] {
            let rate = Rate::per_minute(requests);
            assert!(rate.full() >= MINUTE, "{requests}");
            assert_eq!(rate.burst, requests);
        }
    }

    #[test]
    fn a_lowered_limit_does_not_remember_the_higher_one() {
        let (high, low, now) = (Rate::per_minute(1000), Rate { interval: 1_000, burst: 2 }, 1_700_000_000_000_000);
        let arrival = high.charge(now + 50_000_000, now);
        assert_eq!(low.wait(arrival, now), 1_000);
    }
}
