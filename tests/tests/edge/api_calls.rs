//! The plan's calls a month.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{Stack, eventually};

use super::{Asker, problem};

#[tokio::test]
async fn the_months_calls_are_exact_in_one_process_and_survive_it() {
    let mut stack = Stack::builder().workers(0).start().await;
    let asker = Asker::tenant(&stack, json!({ "api_calls": 12 })).await;
    assert_eq!(asker.statuses("/v1/events", 7).await, [200; 7]);
    // Added up a second later at the latest, or when the process ends.
    let api = stack.api.as_mut().expect("an api");
    assert!(api.terminate(Duration::from_secs(30)).await.success());
    assert_eq!(stack.database.count("select calls from api_call_months").await, 7);

    stack.start_api().await;
    assert_eq!(asker.statuses("/v1/events", 5).await, [200; 5]);
    let (kind, document) = problem(asker.get("/v1/events").await).await;
    assert_eq!((kind.as_str(), document["status"].as_u64()), ("plan-limit", Some(402)));
    assert_eq!(
        (&document["meter"], &document["limit"], &document["current"]),
        (&json!("api_calls"), &json!(12), &json!(12))
    );
    assert_eq!(asker.submit().await.status(), 402, "before anything is accepted");
    assert_eq!(stack.database.count("select count(*) from messages").await, 0);

    // Usage can be read all the same, and is no call.
    for _ in 0..3 {
        let usage: Value = asker.get("/v1/usage").await.json().await.expect("usage");
        assert_eq!(usage["api_calls"], json!({ "used": 12, "limit": 12 }));
    }
    stack.finish().await;
}

#[tokio::test]
async fn two_processes_pass_the_limit_by_what_one_counts_between_two_batches_at_most() {
    let stack = Stack::builder().workers(0).start().await;
    let (_replica, second) = stack.replica().await;
    let first = Asker::tenant(&stack, json!({ "api_calls": 40, "requests_per_minute": 1_000_000 })).await;
    let second = first.at(&second);
    let mut passed = 0;
    let mut refused = 0;
    // Ten a second on each: a batch is a second's worth.
    for _ in 0..60 {
        for asker in [&first, &second] {
            match asker.get("/v1/events").await.status().as_u16() {
                200 => passed += 1,
                402 => refused += 1,
                status => panic!("{status}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((40..=40 + 15).contains(&passed), "{passed} passed, {refused} refused");
    eventually("all calls are added up", Duration::from_secs(10), async || {
        (stack.database.count("select calls from api_call_months").await == passed).then_some(())
    })
    .await;
    stack.finish().await;
}

#[tokio::test]
async fn a_new_month_opens_what_the_old_one_closed() {
    let stack = Stack::builder().workers(0).start().await;
    let asker = Asker::tenant(&stack, json!({ "api_calls": 2 })).await;
    assert_eq!(asker.statuses("/v1/events", 3).await, [200, 200, 402]);
    eventually("the calls are added up", Duration::from_secs(10), async || {
        (stack.database.count("select coalesce(sum(calls), 0)::bigint from api_call_months").await == 2).then_some(())
    })
    .await;
    sqlx::query("update api_call_months set month = month - interval '1 month'")
        .execute(stack.database.owner().await)
        .await
        .expect("last month's calls");
    eventually("calls pass again", Duration::from_secs(20), async || {
        (asker.get("/v1/events").await.status() == 200).then_some(())
    })
    .await;
    stack.finish().await;
}
