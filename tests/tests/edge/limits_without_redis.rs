//! Rate limits while Redis is away or slow: each process decides alone, with its share, and never lets everything pass.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::{PrivateRedis, Stack, eventually};

use super::{Asker, header};

const BY_PROCESS: &str = "metachat_rate_limit_decisions_total{gate=\"process\",outcome=\"passed\"}";
const BY_REDIS: &str = "metachat_rate_limit_decisions_total{gate=\"redis\",outcome=\"passed\"}";

#[tokio::test]
async fn a_redis_that_is_slow_costs_little_and_leaves_each_process_its_share() {
    let redis = PrivateRedis::start().await;
    let stack = Stack::builder().workers(0).redis(redis.url()).start().await;
    let asker = Asker::tenant(&stack, json!({ "requests_per_minute": 50 })).await;
    eventually("Redis decides", Duration::from_secs(10), async || {
        asker.get("/v1/usage").await;
        (asker.metric(BY_REDIS).await > 0.0).then_some(())
    })
    .await;

    redis.freeze();
    // The key's 40, of which this process allows a half: 20, and one more every 3 seconds.
    let started = Instant::now();
    let mut passed = 0;
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let asked = Instant::now();
        let answer = asker.get("/v1/usage").await;
        slowest = slowest.max(asked.elapsed());
        passed += u64::from(answer.status() == 200);
    }
    let most = 20 + started.elapsed().as_secs() / 3 + 1;
    assert!((20..=most).contains(&passed), "{passed} passed in {:?}", started.elapsed());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}: a wait for Redis has a bound");
    let refused = asker.get("/v1/usage").await;
    assert_eq!(header(&refused, "ratelimit-policy"), "\"tenant\";q=25;w=60, \"key\";q=20;w=60");
    assert!(asker.metric(BY_PROCESS).await >= 20.0);

    redis.thaw();
    let by_redis = asker.metric(BY_REDIS).await;
    eventually("Redis decides again", Duration::from_secs(20), async || {
        let answer = asker.get("/v1/usage").await;
        let whole = header(&answer, "ratelimit-policy").contains("q=50");
        (whole && asker.metric(BY_REDIS).await > by_redis).then_some(())
    })
    .await;
    stack.finish().await;
}

#[tokio::test]
async fn without_a_redis_anonymous_requests_are_held_too() {
    let nobody = format!("redis://127.0.0.1:{}", tests::free_port());
    let stack = Stack::builder().workers(0).redis(nobody).env("RATE_LIMIT_PER_ADDRESS", "10").start().await;
    let statuses = Asker::anonymous(&stack.api_url).statuses("/v1/usage", 8).await;
    assert_eq!(statuses[..5], [401; 5]);
    assert_eq!(statuses[6..], [429; 2], "{statuses:?}");
}
