//! The api dies between the commit and the answer.

use std::time::Duration;

use serde_json::Value;
use tests::{Stack, eventually};

use super::{message, tenant};

#[tokio::test]
async fn what_was_committed_before_a_crash_is_answered_by_the_repetition() {
    let mut stack = Stack::builder().workers(0).start().await;
    let sender = tenant(&stack).await;
    // Nobody answers the message: the api has committed it and waits, with nothing said yet.
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move {
            let request = sender.client.post(format!("{}/v1/messages", sender.api)).bearer_auth(&sender.key);
            request.header("idempotency-key", "order-1").header("prefer", "wait=60").json(&message("one")).send().await
        }
    });
    eventually("it is committed", Duration::from_secs(10), async || {
        (stack.database.count("select count(*) from messages").await == 1).then_some(())
    })
    .await;
    stack.api.as_mut().unwrap().kill();
    assert!(waiting.await.unwrap().is_err(), "no answer came");
    stack.start_api().await;

    let repeated = sender.post("/v1/messages", "order-1", &message("one")).await;
    assert_eq!((repeated.status, repeated.replayed), (202, true), "{repeated:?}");
    let read = sender.client.get(format!("{}{}", sender.api, repeated.location)).bearer_auth(&sender.key);
    let read: Value = read.send().await.unwrap().json().await.unwrap();
    assert_eq!(read["id"], repeated.json()["id"]);
    assert_eq!(stack.database.count("select count(*) from messages").await, 1);
}

#[tokio::test]
async fn what_was_not_committed_before_a_crash_is_done_by_the_repetition() {
    let mut stack = Stack::builder().workers(0).start().await;
    let sender = tenant(&stack).await;
    let owner = stack.database.owner().await.clone();
    let mut other = owner.begin().await.unwrap();
    sqlx::query("insert into usage_months (tenant_id, month) select id, date_trunc('month', now() at time zone 'utc') from tenants")
        .execute(&mut *other)
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move {
            let request = sender.client.post(format!("{}/v1/messages", sender.api)).bearer_auth(&sender.key);
            request.header("idempotency-key", "order-1").json(&message("one")).send().await
        }
    });
    eventually("it waits with all but the commit", Duration::from_secs(10), async || {
        let locked =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        (stack.database.count(locked).await > 0).then_some(())
    })
    .await;
    stack.api.as_mut().unwrap().kill();
    assert!(waiting.await.unwrap().is_err(), "no answer came");
    other.rollback().await.unwrap();
    stack.start_api().await;
    // Postgres notices the lost connection when it has counted the usage; until then the first request is in flight.
    let repeated = eventually("it is accepted", Duration::from_secs(20), async || {
        let repeated = sender.post("/v1/messages", "order-1", &message("one")).await;
        (repeated.status != 409).then_some(repeated)
    })
    .await;
    assert_eq!((repeated.status, repeated.replayed), (202, false), "{repeated:?}");
    assert_eq!(stack.database.count("select count(*) from messages").await, 1);
    assert_eq!(stack.database.count("select messages from usage_months").await, 1);
}
