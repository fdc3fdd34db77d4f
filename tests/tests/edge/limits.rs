//! Rate limits on Redis: exact in burst and rate, shared by replicas, told in headers.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tests::{PrivateRedis, Stack};

use super::{Asker, header, problem};

/// Redis decides, however busy the machine is.
async fn start() -> Stack {
    Stack::builder().workers(0).env("RATE_LIMIT_REDIS_TIMEOUT_MS", "10000").start().await
}

/// How many of `passed` requests a limit may let through in the time since `started`.
fn is_exact(passed: usize, per_minute: usize, started: Instant) -> bool {
    let most = per_minute + (started.elapsed().as_secs_f64() * per_minute as f64 / 60.0) as usize;
    (per_minute..=most).contains(&passed)
}

#[tokio::test]
async fn a_burst_passes_and_then_the_rate_on_two_replicas_as_on_one() {
    let stack = start().await;
    let (_replica, second) = stack.replica().await;
    // A key has 80 % of it: 24, and one more every 2.5 seconds.
    let first = Asker::tenant(&stack, json!({ "requests_per_minute": 30 })).await;
    let second = first.at(&second);

    let started = Instant::now();
    let asked = join_all((0..40).map(|n| if n % 2 == 0 { first.get("/v1/usage") } else { second.get("/v1/usage") }));
    let answers = asked.await;
    let passed = answers.iter().filter(|answer| answer.status() == StatusCode::OK).count();
    assert!(is_exact(passed, 24, started), "{passed} passed in {:?}", started.elapsed());

    let refused = first.get("/v1/usage").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header(&refused, "retry-after").parse().expect("seconds");
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(header(&refused, "ratelimit-policy"), "\"tenant\";q=30;w=60, \"key\";q=24;w=60");
    assert!(header(&refused, "ratelimit").contains("\"key\";r=0;t="), "{}", header(&refused, "ratelimit"));
    let (kind, document) = problem(refused).await;
    assert_eq!((kind.as_str(), &document["violated-policies"]), ("rate-limited", &json!(["key"])));

    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(second.get("/v1/usage").await.status(), StatusCode::OK, "the rate goes on");
    let mut passed = passed + 1;
    while started.elapsed() < Duration::from_secs(8) {
        passed += usize::from(first.get("/v1/usage").await.status() == StatusCode::OK);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_exact(passed, 24, started), "{passed} passed in {:?}", started.elapsed());
    assert!(passed >= 26, "{passed}: the rate goes on");
    stack.finish().await;
}

#[tokio::test]
async fn a_key_leaves_the_other_keys_their_part_and_all_stay_within_the_tenants_limit() {
    let stack = start().await;
    let first = Asker::tenant(&stack, json!({ "requests_per_minute": 10 })).await;
    let second = first.with_key(&second_key(&stack).await);
    assert_eq!(first.statuses("/v1/usage", 9).await, [200, 200, 200, 200, 200, 200, 200, 200, 429]);
    let answer = second.get("/v1/usage").await;
    assert_eq!(header(&answer, "ratelimit").split(";t").next(), Some("\"tenant\";r=1"));
    assert_eq!(second.statuses("/v1/usage", 2).await, [200, 429]);
    let (_, document) = problem(second.get("/v1/usage").await).await;
    assert_eq!(document["violated-policies"], json!(["tenant"]), "a refusal charges nothing to the key");
    stack.finish().await;
}

#[tokio::test]
async fn submissions_have_a_limit_of_their_own_and_a_refused_one_leaves_nothing() {
    let stack = start().await;
    let asker = Asker::tenant(&stack, json!({ "messages_per_minute": 3 })).await;
    for left in [2, 1, 0] {
        let accepted = asker.submit().await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
        let told = format!("\"messages\";r={left}");
        assert!(header(&accepted, "ratelimit").contains(&told), "{}", header(&accepted, "ratelimit"));
    }
    let (kind, document) = problem(asker.submit().await).await;
    assert_eq!((kind.as_str(), &document["violated-policies"]), ("rate-limited", &json!(["messages"])));
    let read = asker.get("/v1/conversations").await;
    assert_eq!(read.status(), StatusCode::OK, "reading goes on");
    assert!(!header(&read, "ratelimit").contains("messages"));
    assert_eq!(stack.database.count("select count(*) from messages").await, 3);
    assert_eq!(stack.database.count("select count(*) from jobs where kind = 'ingest_message'").await, 3);
    stack.database.discard_jobs().await;
    stack.finish().await;
}

#[tokio::test]
async fn whom_no_key_answers_for_is_held_by_address_and_valid_keys_and_probes_are_not() {
    let stack = Stack::builder()
        .workers(0)
        .env("RATE_LIMIT_REDIS_TIMEOUT_MS", "10000")
        .env("RATE_LIMIT_PER_ADDRESS", "6")
        .start()
        .await;
    let anybody = Asker::anonymous(&stack.api_url);
    let tenant = Asker::tenant(&stack, json!({})).await;
    let guesser = anybody.with_key("mk_live_0000000000000000000000000000000000000000000000000000000000000000");
    assert_eq!(anybody.statuses("/v1/usage", 2).await, [401, 401]);
    assert_eq!(guesser.statuses("/v1/usage", 2).await, [401, 401]);
    assert_eq!(anybody.statuses("/nowhere", 1).await, [404]);
    assert_eq!(anybody.statuses("/openapi.json", 1).await, [200]);
    for path in ["/v1/usage", "/nowhere", "/openapi.json"] {
        let refused = guesser.get(path).await;
        assert_eq!(header(&refused, "ratelimit-policy"), "\"address\";q=6;w=60", "{path}");
        assert_eq!(problem(refused).await.0, "rate-limited", "{path}");
    }
    // A stranger's word about where it comes from opens no limit of its own.
    let spoofed = anybody.send(reqwest::Method::GET, "/v1/usage", &[("x-forwarded-for", "198.51.100.7")], None).await;
    assert_eq!(spoofed.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(tenant.statuses("/v1/usage", 10).await, [200; 10]);
    assert_eq!(anybody.statuses("/healthz", 20).await, [200; 20]);
    stack.finish().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_held_by_its_own_address() {
    let stack = Stack::builder()
        .workers(0)
        .env("RATE_LIMIT_REDIS_TIMEOUT_MS", "10000")
        .env("RATE_LIMIT_PER_ADDRESS", "2")
        .env("TRUSTED_PROXIES", "127.0.0.0/8")
        .start()
        .await;
    let anybody = Asker::anonymous(&stack.api_url);
    let from = async |forwarded: &str| {
        let headers = [("x-forwarded-for", forwarded)];
        anybody.send(reqwest::Method::GET, "/v1/usage", &headers, None).await.status().as_u16()
    };
    assert_eq!([from("203.0.113.1").await, from("203.0.113.1").await, from("203.0.113.1").await], [401, 401, 429]);
    assert_eq!(from("203.0.113.2").await, 401);
    // What the client wrote itself, left of what the proxy saw, changes nothing.
    assert_eq!(from("198.51.100.1, 203.0.113.1").await, 429);
    assert_eq!(from("198.51.100.2, 203.0.113.1, 127.0.0.9").await, 429);
    assert_eq!(from("::ffff:203.0.113.1").await, 429, "a mapped address is the same client");
    stack.finish().await;
}

#[tokio::test]
async fn a_request_costs_redis_one_call_however_many_limits_it_has() {
    let redis = PrivateRedis::start().await;
    let stack =
        Stack::builder().workers(0).redis(redis.url()).env("RATE_LIMIT_REDIS_TIMEOUT_MS", "10000").start().await;
    let asker = Asker::tenant(&stack, json!({})).await;
    let scripts_run = async || {
        let mut connection = redis.connection().await.expect("a running Redis");
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("INFO");
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().expect("a number"))
    };
    // The first one finds that Redis does not know the script yet.
    asker.get("/v1/events").await;
    let before = scripts_run().await;
    assert_eq!(asker.statuses("/v1/events", 20).await, [200; 20]);
    assert_eq!(scripts_run().await - before, 20);
    stack.finish().await;
}

/// A further key of the only tenant, with whatever else the first one has.
async fn second_key(stack: &Stack) -> String {
    use sha2::{Digest, Sha256};
    let key = format!("mk_live_{}", "5".repeat(64));
    sqlx::query(
        "insert into api_keys select (jsonb_populate_record(k, jsonb_build_object('id', gen_random_uuid(), 'hash', $1))).*
         from api_keys k",
    )
    .bind(format!("\\x{}", hex::encode(Sha256::digest(key.as_bytes()))))
    .execute(stack.database.owner().await)
    .await
    .expect("a second key");
    key
}
