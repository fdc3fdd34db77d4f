use standardwebhooks::Webhook;

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SOON: Duration = Duration::from_secs(5);

async fn deliver(receiver: &Receiver, id: &str, secret: &str) -> reqwest::Response {
    let body = r#"{"type":"message.sent","id":"evt_1","timestamp":"2026-11-23T10:00:00Z","data":{"n":1}}"#;
    let now = Utc::now().timestamp();
    let signature = Webhook::new(secret).unwrap().sign(id, now, body.as_bytes()).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(receiver.url())
        .header("webhook-id", id)
        .header("webhook-timestamp", now)
        .header("webhook-signature", signature)
        .body(body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_signed_delivery_is_kept() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_secret(SECRET);

    assert_eq!(deliver(&receiver, "msg_1", SECRET).await.status(), 200);

    let deliveries = receiver.wait_for(1, SOON).await.unwrap();
    assert_eq!(deliveries[0].signature, Signature::Valid);
    assert_eq!((deliveries[0].id.as_str(), deliveries[0].event_type.as_str()), ("msg_1", "message.sent"));
    assert_eq!(deliveries[0].body["data"]["n"], 1);
}

#[tokio::test]
async fn a_foreign_signature_is_refused_and_still_recorded() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_secret(SECRET);

    assert_eq!(deliver(&receiver, "msg_1", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await.status(), 401);

    assert!(matches!(receiver.deliveries()[0].signature, Signature::Invalid(_)));
}

#[tokio::test]
async fn statuses_follow_the_script_and_repeats_are_counted() {
    let receiver = Receiver::start().await.unwrap();
    receiver.set_behaviour(Behaviour { retry_after: Some(2), ..Behaviour::answering([500, 503, 200]) });

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = deliver(&receiver, "msg_1", SECRET).await;
        statuses.push((response.status().as_u16(), response.headers().contains_key("retry-after")));
    }

    assert_eq!(statuses, [(500, true), (503, true), (200, false), (200, false)]);
    assert_eq!(receiver.duplicates(), 3);
    assert_eq!(receiver.deliveries()[3].attempt, 4);
}

#[tokio::test]
async fn waiting_in_vain_tells_what_came() {
    let receiver = Receiver::start().await.unwrap();
    deliver(&receiver, "msg_1", SECRET).await;

    let too_few = receiver.wait_for(2, Duration::from_millis(20)).await.unwrap_err();

    assert_eq!(too_few.deliveries.len(), 1);
}
