//! The log of requests: complete while Postgres keeps up, bounded and harmless when it does not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tests::{Stack, eventually};

use super::{Asker, header};

#[tokio::test]
async fn every_request_is_logged_for_its_tenant_and_the_rest_is_written_at_the_end() {
    let mut stack = Stack::builder().workers(0).start().await;
    let asker = Asker::tenant(&stack, json!({})).await;
    let other = Asker::tenant(&stack, json!({})).await;
    let mut ids = Vec::new();
    for path in ["/v1/events", "/v1/messages/msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6", "/v1/conversations?limit=0"] {
        ids.push(header(&asker.get(path).await, "x-request-id").to_owned());
    }
    other.get("/v1/documents").await;
    let anybody = Asker::anonymous(&stack.api_url);
    anybody.get("/v1/events").await;
    anybody.get("/nowhere").await;
    anybody.get("/healthz").await;

    let page = eventually("the requests are logged", Duration::from_secs(10), async || {
        let page: Value = asker.get("/v1/api-logs?limit=100").await.json().await.ok()?;
        let logged = page["data"].as_array()?.iter().filter(|entry| ids.iter().any(|id| entry["request_id"] == **id));
        (logged.count() == 3).then_some(page)
    })
    .await;
    let of =
        |id: &str| page["data"].as_array().unwrap().iter().find(|entry| entry["request_id"] == *id).unwrap().clone();
    for (id, route, status) in
        [(&ids[0], "/v1/events", 200), (&ids[1], "/v1/messages/{id}", 404), (&ids[2], "/v1/conversations", 422)]
    {
        let entry = of(id);
        assert_eq!(
            (&entry["method"], &entry["route"], &entry["status"]),
            (&json!("GET"), &json!(route), &json!(status))
        );
        assert!(entry["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{entry}");
        assert!(entry["api_key_id"].as_str().is_some_and(|id| id.starts_with("key_")), "{entry}");
    }
    assert!(!page.to_string().contains("/v1/documents"), "another tenant's request");
    assert_eq!(pages(&asker).await[..3], [ids[2].clone(), ids[1].clone(), ids[0].clone()], "newest first, by cursor");

    let last = header(&asker.get("/v1/events").await, "x-request-id").to_owned();
    let api = stack.api.as_mut().expect("an api");
    assert!(api.terminate(Duration::from_secs(30)).await.success());
    let logged: i64 = sqlx::query_scalar("select count(*) from api_logs where request_id = $1")
        .bind(last)
        .fetch_one(stack.database.owner().await)
        .await
        .expect("a count");
    assert_eq!(logged, 1, "the drain writes what is left");
    let nobodys = "select count(*) from api_logs where tenant_id is null and route in ('/v1/events', 'unmatched')";
    assert_eq!(stack.database.count(nobodys).await, 2);
    assert_eq!(stack.database.count("select count(*) from api_logs where route = '/healthz'").await, 0);
}

/// The request ids of the first requests, page by page.
async fn pages(asker: &Asker) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    // Reading is logged too, later than what is read here: the list goes backwards and does not see it.
    loop {
        let page: Value = asker.get(&format!("/v1/api-logs?limit=2{cursor}")).await.json().await.expect("a page");
        let entries = page["data"].as_array().expect("entries");
        let others = entries.iter().filter(|entry| entry["route"] != "/v1/api-logs");
        ids.extend(others.map(|entry| entry["request_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_full_buffer_drops_entries_and_slows_nobody() {
    let stack = Stack::builder().workers(0).env("API_LOG_BUFFER", "20").start().await;
    let asker = Asker::tenant(&stack, json!({ "requests_per_minute": 100_000 })).await;
    let mut owner = PgConnection::connect(stack.database.url()).await.expect("the test's database");
    owner.execute("begin; lock table api_logs in access exclusive mode").await.expect("a lock");
    asker.get("/v1/events").await;
    // The writer has taken what there was, and hangs.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let started = Instant::now();
    assert_eq!(asker.statuses("/v1/events", 100).await, [200; 100]);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    let dropped = asker.metric("metachat_api_log_dropped_total").await;
    assert!((75.0..=80.0).contains(&dropped), "{dropped} of 100 with a buffer of 20");
    owner.execute("rollback").await.expect("the lock is gone");
    eventually("what was kept is written", Duration::from_secs(20), async || {
        let kept = stack.database.count("select count(*) from api_logs where route = '/v1/events'").await;
        (21..=26).contains(&kept).then_some(())
    })
    .await;
    stack.finish().await;
}
