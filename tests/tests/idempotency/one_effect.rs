//! One key, one effect: under concurrency, and among those who share keys by chance.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::Stack;

use super::{Sender, message, operator, tenant};

/// No test of this waits for a free connection and is refused for it.
async fn start() -> Stack {
    Stack::builder().workers(0).env("ADMISSION_MAX_POOL_WAIT_MS", "30000").start().await
}

/// 100 requests at once, half to each of two replicas: all that are answered get the same response.
async fn a_hundred(first: &Sender, second: &Sender, path: &str, body: &Value) {
    let sent = (0..100).map(|n| if n % 2 == 0 { first } else { second }.post(path, "the-one", body));
    let replies = join_all(sent).await;
    let answered: Vec<_> = replies.iter().filter(|reply| reply.status < 300).collect();
    assert_eq!(answered.iter().filter(|reply| !reply.replayed).count(), 1, "{path}: {replies:?}");
    assert!(answered.iter().all(|reply| reply.body == answered[0].body), "{path}");
    for reply in replies.iter().filter(|reply| reply.status >= 300) {
        assert_eq!((reply.status, reply.problem().as_str()), (409, "idempotency-in-flight"), "{path}: {reply:?}");
    }
    let later = second.post(path, "the-one", body).await;
    assert!(later.replayed && later.body == answered[0].body, "{path}: {later:?}");
}

#[tokio::test]
async fn a_hundred_requests_with_one_key_on_two_replicas_have_one_effect() {
    let stack = start().await;
    let (_replica, url) = stack.replica().await;
    let (sender, operator) = (tenant(&stack).await, operator(&stack));
    let tenants = stack.database.count("select count(*) from tenants").await;
    a_hundred(&sender, &sender.at(&url), "/v1/messages", &message("one")).await;
    assert_eq!(stack.database.count("select count(*) from messages").await, 1);
    assert_eq!(stack.database.count("select messages from usage_months").await, 1);
    let sender = tenant(&stack).await;
    a_hundred(&sender, &sender.at(&url), "/v1/webhook-endpoints", &json!({ "url": "https://example.com/" })).await;
    assert_eq!(stack.database.count("select count(*) from webhook_endpoints").await, 1);
    a_hundred(&operator, &operator.at(&url), "/v1/tenants", &json!({ "name": "The one" })).await;
    assert_eq!(stack.database.count("select count(*) from tenants").await, tenants + 2);
}

#[tokio::test]
async fn a_first_request_that_has_not_finished_is_in_flight() {
    let stack = start().await;
    let sender = tenant(&stack).await;
    let owner = stack.database.owner().await;
    let mut other = owner.begin().await.unwrap();
    // The tenant's usage, which acceptance counts, is being counted.
    sqlx::query("insert into usage_months (tenant_id, month) select id, date_trunc('month', now() at time zone 'utc') from tenants")
        .execute(&mut *other)
        .await
        .unwrap();
    let first = tokio::spawn({
        let sender = sender.clone();
        async move { sender.post("/v1/messages", "order-1", &message("one")).await }
    });
    tests::eventually("the first one waits", std::time::Duration::from_secs(10), async || {
        let waiting =
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        (stack.database.count(waiting).await > 0).then_some(())
    })
    .await;
    let second = sender.post("/v1/messages", "order-1", &message("one")).await;
    assert_eq!((second.status, second.problem().as_str()), (409, "idempotency-in-flight"));
    other.rollback().await.unwrap();
    let first = first.await.unwrap();
    assert_eq!((first.status, first.replayed), (202, false), "{first:?}");
    assert!(sender.post("/v1/messages", "order-1", &message("one")).await.is_replay_of(&first));
}

#[tokio::test]
async fn keys_of_different_senders_do_not_meet() {
    let stack = start().await;
    let (one, two, operator) = (tenant(&stack).await, tenant(&stack).await, operator(&stack));
    let (first, second) =
        (one.post("/v1/messages", "a", &message("one")).await, two.post("/v1/messages", "a", &message("one")).await);
    assert_eq!((first.status, second.status, second.replayed), (202, 202, false), "another tenant's");
    let made = operator.post("/v1/tenants", "a", &json!({ "name": "Third" })).await;
    assert_eq!((made.status, made.replayed), (201, false), "the operator's");
    let third = one.with_key(made.json()["api_key"]["key"].as_str().unwrap());
    assert_eq!(third.post("/v1/messages", "b", &message("one")).await.status, 202);
    let path = format!("/v1/tenants/{}/api-keys", made.json()["id"].as_str().unwrap());
    let key = json!({ "name": "n", "scopes": ["admin"] });
    let theirs = operator.post(&path, "b", &key).await;
    assert_eq!((theirs.status, theirs.replayed), (201, false), "the operator's about a tenant");

    // A response that shows a secret is for its author: another key of the tenant, which guesses the request, does not get it.
    let fourth = third.with_key(theirs.json()["key"].as_str().unwrap());
    let shown = third.post("/v1/api-keys", "c", &key).await;
    assert!(third.post("/v1/api-keys", "c", &key).await.is_replay_of(&shown));
    let refused = fourth.post("/v1/api-keys", "c", &key).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency-mismatch"));
}

#[tokio::test]
async fn a_key_has_1_to_255_visible_characters() {
    let stack = start().await;
    let sender = tenant(&stack).await;
    for (key, status) in [("k".repeat(255), 202), ("k".repeat(256), 422), (String::new(), 422), ("clé".into(), 422)] {
        let reply = sender.post("/v1/messages", &key, &message("one")).await;
        assert_eq!(reply.status, status, "{key}: {reply:?}");
        let reply = operator(&stack).post("/v1/tenants", &key, &json!({ "name": "n" })).await;
        assert_eq!(reply.status, if status == 202 { 201 } else { status }, "{key}: {reply:?}");
    }
    assert_eq!(stack.database.count("select count(*) from messages").await, 1);
}
