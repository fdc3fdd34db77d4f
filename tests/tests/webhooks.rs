//! Webhooks and billing events: signed, tried again, recorded, told apart.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use loadtest::{
    client::{Client, Submission},
    receiver::{Behaviour, Receiver, Signature},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tests::{Stack, eventually};

const LIMIT: Duration = Duration::from_secs(30);

async fn endpoint(client: &Client, behaviour: Behaviour, types: &[&str]) -> Receiver {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_behaviour(behaviour);
    let endpoint = client.create_endpoint(&receiver.url(), types).await.unwrap();
    receiver.set_secret(&endpoint.secret);
    receiver
}

#[tokio::test]
async fn an_event_reaches_its_subscribers_once_signed_with_one_id() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let all = endpoint(&client, Behaviour::default(), &[]).await;
    let sent_only = endpoint(&client, Behaviour::default(), &["message.sent"]).await;
    let message = client.submit(&Submission::new("Is anybody there today?")).await.unwrap().message;
    client.final_message(&message.id, LIMIT).await.unwrap();
    stack.idle(LIMIT).await;

    let types: Vec<_> = all.deliveries().iter().map(|delivery| delivery.event_type.clone()).collect();
    for expected in ["conversation.created", "message.received", "escalation.requested", "message.sent"] {
        assert_eq!(types.iter().filter(|kind| *kind == expected).count(), 1, "{expected} in {types:?}");
    }
    assert_eq!(sent_only.deliveries().len(), 1);
    assert!(all.deliveries().iter().all(|delivery| delivery.signature == Signature::Valid));
    assert_eq!(all.duplicates(), 0);
    stack.finish().await;
}

/// An endpoint of the tenant wants it by the time it is written; the end of a message may have a callback.
#[tokio::test]
async fn an_event_has_a_job_only_if_it_is_wanted() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    endpoint(&client, Behaviour::default(), &["document.failed"]).await;
    endpoint(&neighbour, Behaviour::default(), &[]).await;
    let callback = Receiver::start().await.unwrap();
    for callback_url in [None, Some(callback.url())] {
        let submission = Submission { callback_url, ..Submission::new("Is anybody there today?") };
        let message = client.submit(&submission).await.unwrap().message;
        client.final_message(&message.id, LIMIT).await.unwrap();
    }
    stack.idle(LIMIT).await;

    assert_eq!(callback.deliveries().len(), 1);
    let carried = "select e.type from events e join job_history h on h.kind = 'emit_event' and h.key = 'evt_' || replace(e.id::text, '-', '')";
    let owner = stack.database.owner().await;
    assert_eq!(
        sqlx::query_scalar::<_, String>(carried).fetch_all(owner).await.unwrap(),
        ["message.sent", "message.sent"]
    );
    assert_eq!(stack.database.count("select count(*) from events where type = 'message.received'").await, 2);
    stack.finish().await;
}

#[tokio::test]
async fn a_failing_endpoint_is_tried_again_and_every_try_is_recorded() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let receiver = endpoint(&client, Behaviour::answering([500, 503, 200]), &["message.received"]).await;
    client.submit(&Submission::new("Is anybody there today?")).await.unwrap();
    let deliveries = receiver.wait_for(3, LIMIT).await.unwrap();
    assert!(deliveries.iter().all(|delivery| delivery.id == deliveries[0].id));
    stack.idle(LIMIT).await;
    let statuses: Vec<(i32, i32)> = sqlx::query_as("select attempt, status from webhook_attempts order by attempt")
        .fetch_all(stack.database.owner().await)
        .await
        .unwrap();
    assert_eq!(statuses, [(1, 500), (2, 503), (3, 200)]);
    stack.finish().await;
}

#[tokio::test]
async fn a_refusal_ends_in_the_dead_letters_and_can_be_replayed() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let receiver = endpoint(&client, Behaviour::answering([400]), &["message.received"]).await;
    client.submit(&Submission::new("Is anybody there today?")).await.unwrap();
    receiver.wait_for(1, LIMIT).await.unwrap();
    let dead = eventually("a dead letter", LIMIT, async || {
        let dead: Value = client.call(reqwest::Method::GET, "/v1/jobs/dead", None).await.unwrap().parse().unwrap();
        dead["data"].as_array().unwrap().first().cloned()
    })
    .await;
    assert_eq!(dead["kind"], "deliver_webhook");
    assert!(dead["cause"].as_str().unwrap().contains("400"), "{dead}");

    receiver.set_behaviour(Behaviour::default());
    let replay = format!("/v1/jobs/dead/{}/replay", dead["id"].as_str().unwrap());
    client.call(reqwest::Method::POST, &replay, None).await.unwrap();
    receiver.wait_for(2, LIMIT).await.unwrap();
    assert_eq!(receiver.deliveries()[0].id, receiver.deliveries()[1].id, "the same webhook-id");
    stack.finish().await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_switched_off() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let gone = endpoint(&client, Behaviour::answering([410]), &["message.received"]).await;
    let other = endpoint(&client, Behaviour::default(), &["webhook.endpoint_disabled"]).await;
    client.submit(&Submission::new("Is anybody there today?")).await.unwrap();
    other.wait_for(1, LIMIT).await.unwrap();
    client.submit(&Submission::new("Is anybody there now?")).await.unwrap();
    stack.idle(LIMIT).await;
    assert_eq!(gone.deliveries().len(), 1, "nothing was sent after 410");
    stack.finish().await;
}

fn signature(secret: &str, body: &str) -> String {
    let at = chrono::Utc::now().timestamp();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn stripe_events_change_the_plan_once_and_in_any_order() {
    let stack = Stack::builder()
        .env("STRIPE_WEBHOOK_SECRETS", "whsec_old,whsec_new")
        .env("STRIPE_PRICE_PRO", "price_pro")
        .env("STRIPE_PRICE_STARTER", "price_starter")
        .start()
        .await;
    let (tenant, client) =
        stack.tenant_with(loadtest::client::NewTenant { name: "Payer".into(), ..Default::default() }).await;
    let post = async |body: &Value, secret: &str| {
        let body = body.to_string();
        reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(format!("{}/webhooks/stripe", stack.api_url))
            .header("stripe-signature", signature(secret, &body))
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let subscription = |id: &str, kind: &str, created: i64, price: &str| {
        json!({ "id": id, "type": kind, "created": created, "data": { "object": {
            "id": "sub_1", "customer": "cus_1", "status": "active",
            "metadata": { "tenant_id": tenant.id },
            "items": { "data": [{ "price": { "id": price } }] },
        }}})
    };
    let plan = async || {
        let plan = sqlx::query_scalar::<_, String>("select plan from tenants");
        plan.fetch_one(stack.database.owner().await).await.unwrap()
    };
    let newer = subscription("evt_2", "customer.subscription.updated", 1_800_000_200, "price_pro");
    let older = subscription("evt_1", "customer.subscription.created", 1_800_000_100, "price_starter");
    assert_eq!(post(&newer, "whsec_wrong").await, 400);
    assert_eq!(post(&newer, "whsec_new").await, 200);
    stack.idle(LIMIT).await;
    assert_eq!(post(&older, "whsec_old").await, 200);
    assert_eq!(post(&newer, "whsec_old").await, 200, "a duplicate is acknowledged");
    stack.idle(LIMIT).await;
    assert_eq!(plan().await, "pro", "the older event does not win");
    assert_eq!(stack.database.count("select count(*) from stripe_events").await, 2);
    let updated = "select count(*) from events where type = 'billing.subscription_updated'";
    assert_eq!(stack.database.count(updated).await, 1, "one event, though it came twice");

    let paid = json!({ "id": "evt_p", "type": "invoice.paid", "created": 1_800_000_290,
        "data": { "object": { "id": "in_1", "customer": "cus_1" } } });
    assert_eq!(post(&paid, "whsec_new").await, 200);
    stack.idle(LIMIT).await;
    let downgrade = subscription("evt_d", "customer.subscription.updated", 1_800_000_280, "price_starter");
    assert_eq!(post(&downgrade, "whsec_new").await, 200);
    stack.idle(LIMIT).await;
    assert_eq!(plan().await, "starter", "a payment says nothing of the plan, so it makes no change stale");

    let unknown = subscription("evt_3", "customer.subscription.updated", 1_800_000_300, "price_unheard_of");
    assert_eq!(post(&unknown, "whsec_new").await, 200);
    eventually("the unknown price is buried", LIMIT, async || {
        (stack.database.count("select count(*) from dead_jobs where cause like '%price_unheard_of%'").await == 1)
            .then_some(())
    })
    .await;
    assert_eq!(plan().await, "starter", "never a silent downgrade");
    sqlx::query("delete from dead_jobs").execute(stack.database.owner().await).await.unwrap();
    drop(client);
    stack.finish().await;
}

/// Another worker took the job over while its receiver thought about the delivery.
#[tokio::test]
async fn a_run_that_was_overtaken_changes_nothing() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let slow = Behaviour { delay: Duration::from_secs(2), ..Behaviour::default() };
    let receiver = endpoint(&client, slow, &["message.received"]).await;
    client.submit(&Submission::new("Is anybody there today?")).await.unwrap();
    let fence = |fence: i64| {
        let set = "update jobs set fence = $1 where kind = 'deliver_webhook'";
        let owner = stack.database.owner();
        async move { sqlx::query(set).bind(fence).execute(owner.await).await.unwrap().rows_affected() }
    };
    eventually("the delivery is due", LIMIT, async || (fence(i64::MAX).await == 1).then_some(())).await;
    eventually("it was made", LIMIT, async || (receiver.deliveries().len() == 1).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stack.database.count("select count(*) from jobs where kind = 'deliver_webhook'").await, 1);
    assert_eq!(stack.database.count("select count(*) from webhook_attempts").await, 0);

    // As when that worker gave it back.
    fence(0).await;
    stack.idle(LIMIT).await;
    assert_eq!(stack.database.count("select count(*) from webhook_attempts").await, 1);
    stack.finish().await;
}
