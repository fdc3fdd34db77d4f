//! Admission: overload is refused before anything is accepted, and passes.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tests::{Stack, eventually};

use super::{Asker, header, problem};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn past_the_backlogs_limit_new_work_is_refused_and_everything_else_is_not() {
    let stack = Stack::builder().workers(0).env("ADMISSION_MAX_BACKLOG", "10").start().await;
    let asker = Asker::tenant(&stack, serde_json::json!({})).await;
    let first: serde_json::Value = asker.submit().await.json().await.expect("JSON");
    // The first message's job and its conversation's event, and so on: until it is seen that there are ten.
    let refused = eventually("new work is refused", SOON, async || {
        let answer = asker.submit().await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert_eq!(header(&refused, "retry-after"), "10");
    let (kind, document) = problem(refused).await;
    assert_eq!((kind.as_str(), &document["reason"]), ("overloaded", &serde_json::json!("backlog")));

    let accepted = stack.database.count("select count(*) from messages").await;
    let (id, conversation) = (first["id"].as_str().unwrap(), first["conversation_id"].as_str().unwrap());
    for path in ["/v1/usage", "/v1/conversations", &format!("/v1/messages/{id}"), "/readyz"] {
        assert_eq!(asker.get(path).await.status(), 200, "{path}");
    }
    let cancel = format!("/v1/messages/{id}/cancel");
    let cancelled = asker.send(reqwest::Method::POST, &cancel, &[], None).await;
    assert_ne!(cancelled.status(), 503, "what relieves the ledger stays open: {conversation}");
    for _ in 0..5 {
        assert_eq!(asker.submit().await.status(), 503);
    }
    assert_eq!(stack.database.count("select count(*) from messages").await, accepted, "nothing was accepted");
    assert!(asker.metric("metachat_admission_refused_total{reason=\"backlog\"}").await >= 6.0);
    assert_eq!(asker.metric("metachat_admission_closed{reason=\"backlog\"}").await, 1.0);

    stack.database.discard_jobs().await;
    eventually("new work is accepted again", SOON, async || (asker.submit().await.status() == 202).then_some(())).await;
    stack.database.discard_jobs().await;
    stack.finish().await;
}

#[tokio::test]
async fn while_no_connection_is_free_new_work_is_refused_at_once() {
    let stack = Stack::builder().workers(0).env("DATABASE_CONNECTIONS", "2").start().await;
    let asker = Asker::tenant(&stack, serde_json::json!({})).await;
    assert_eq!(asker.submit().await.status(), 202);

    let mut owner = PgConnection::connect(stack.database.url()).await.expect("the test's database");
    owner.execute("begin; lock table conversations in access exclusive mode").await.expect("a lock");
    // These hold both connections for as long as the lock lasts.
    let stuck: Vec<_> = (0..2)
        .map(|_| {
            let asker = asker.clone();
            tokio::spawn(async move { asker.get("/v1/conversations").await.status().as_u16() })
        })
        .collect();
    eventually("the pool is seen to be taken", SOON, async || {
        (asker.metric("metachat_admission_closed{reason=\"pool\"}").await == 1.0).then_some(())
    })
    .await;
    let asked = std::time::Instant::now();
    let refused = asker.submit().await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, "1"));
    assert_eq!(problem(refused).await.1["reason"], "pool");

    owner.execute("rollback").await.expect("the lock is gone");
    for asked in stuck {
        assert_eq!(asked.await.expect("an answer"), 200, "reads were not refused");
    }
    eventually("new work is accepted again", SOON, async || (asker.submit().await.status() == 202).then_some(())).await;
    stack.database.discard_jobs().await;
    stack.finish().await;
}
