//! The gate that all processes share: one script on Redis, by Redis' clock.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jobs::queue::Wire;
use redis::{RedisError, Script};

use super::{Limit, Standing, gcra::Judged};

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("gcra.lua")));

/// After a failure nobody asks Redis for this long, so that a slow Redis costs one request a second its time-out.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection of its own: a decision does not queue behind the lanes' batches.
pub struct SharedGate {
    connection: Wire,
    prefix: String,
    timeout: Duration,
    started: Instant,
    /// Milliseconds since the start until which Redis is left alone.
    paused_until: AtomicU64,
}

impl SharedGate {
    /// Connects lazily.
    pub fn connect(url: &str, prefix: &str, timeout: Duration) -> Result<Self, RedisError> {
        let connection = Wire::connect(url)?;
        let (started, paused_until) = (Instant::now(), AtomicU64::new(0));
        Ok(Self { connection, prefix: prefix.to_owned(), timeout, started, paused_until })
    }

    /// Charges a request to all limits or to none, in one round trip; `None` when Redis does not answer in time. The
    /// keys must share a hash tag.
    pub async fn decide(&self, limits: &[Limit]) -> Option<Vec<Standing>> {
        if !self.may_ask() {
            return None;
        }
        let mut invocation = SCRIPT.prepare_invoke();
        for limit in limits {
            let rate = limit.rate();
            invocation.key(format!("{}:rate:{}", self.prefix, limit.key)).arg(rate.interval).arg(rate.burst);
        }
        let mut connection = self.connection.clone();
        let asked = invocation.invoke_async::<Vec<i64>>(&mut connection);
        let reason = match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(numbers)) if numbers.len() == 3 * limits.len() => {
                self.paused_until.store(0, Ordering::Relaxed);
                return Some(standings(limits, &numbers));
            }
            Ok(Ok(_)) => "an answer of another length".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        let until = self.started.elapsed() + PAUSE;
        self.paused_until.store(millis(until), Ordering::Relaxed);
        tracing::warn!(reason, "rate limits are decided by this process alone");
        None
    }

    /// Whether Redis is to be asked. When a pause is over one caller asks, and the others once it was answered.
    fn may_ask(&self) -> bool {
        let until = self.paused_until.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let now = self.started.elapsed();
        let again = millis(now + PAUSE);
        millis(now) >= until
            && self.paused_until.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn standings(limits: &[Limit], numbers: &[i64]) -> Vec<Standing> {
    let judged = numbers.chunks_exact(3).map(|it| Judged { left: it[0], full_after: it[1], wait: it[2] });
    limits.iter().zip(judged).map(|(limit, judged)| limit.standing(judged)).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn limit(policy: &'static str, key: &str, per_minute: i64) -> Limit {
        Limit { policy, key: key.to_owned(), per_minute }
    }

    fn gate() -> SharedGate {
        let url = std::env::var("TEST_REDIS_URL").expect("TEST_REDIS_URL, which `make test` sets");
        SharedGate::connect(&url, &format!("test-{}", Uuid::now_v7().simple()), Duration::from_secs(10)).unwrap()
    }

    #[tokio::test]
    async fn the_script_and_the_processes_own_gate_agree() {
        // Within half a second nothing comes back that would count.
        for per_minute in [1, 2, 7, 50] {
            let (shared, local) = (gate(), super::super::LocalGate::new(100));
            let limits = [limit("tenant", "{t}:requests", per_minute), limit("key", "{t}:key", per_minute * 2)];
            let started = Instant::now();
            for n in 0..per_minute + 3 {
                let by_redis = shared.decide(&limits).await.expect("Redis answers");
                let by_process = local.decide(&limits);
                if started.elapsed() >= Duration::from_millis(500) {
                    break;
                }
                for (there, here) in by_redis.iter().zip(&by_process) {
                    assert_eq!((there.left, there.passes()), (here.left, here.passes()), "{per_minute}: request {n}");
                    let apart = there.wait.abs_diff(here.wait).max(there.full_after.abs_diff(here.full_after));
                    assert!(apart < Duration::from_secs(1), "{there:?} {here:?}");
                }
            }
        }
    }

    #[tokio::test]
    async fn keys_expire_when_their_limit_is_full_again() {
        let gate = gate();
        let limit = [limit("tenant", "{t}:requests", 600)];
        assert!(gate.decide(&limit).await.expect("Redis answers")[0].passes());
        let key = format!("{}:rate:{{t}}:requests", gate.prefix);
        let ttl: i64 = redis::cmd("PTTL").arg(key).query_async(&mut gate.connection.clone()).await.unwrap();
        assert!((0..=100).contains(&ttl) || ttl == -2, "{ttl} ms");
    }
}
