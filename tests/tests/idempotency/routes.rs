//! Every route that creates something.

use std::time::Duration;

use futures::stream;
use reqwest::Body;
use serde_json::{Value, json};
use tests::Stack;
use uuid::Uuid;

use super::{Reply, Sender, message, operator, tenant};

/// POSTs that succeed without a key, and why none is wanted.
const UNKEYED: [(&str, &str); 8] = [
    ("/v1/search", "asks, and keeps its answer for a while only"),
    ("/v1/messages/{id}/cancel", "repeated, it finds its work done"),
    ("/v1/documents/{id}/retry", "repeated, it finds its work begun"),
    ("/v1/jobs/dead/discard", "repeated, it finds its work done"),
    ("/v1/session", "a log-in is of now; its cookies must not be kept"),
    ("/v1/session/password", "changes what is there"),
    ("/v1/invitations/accept", "its token works once"),
    ("/webhooks/stripe", "an event's id is its key"),
];

/// The same request again gets the same response; with another body, and on another route, it is refused.
async fn once(sender: &Sender, path: &str, body: Value, other: Value) -> Value {
    let key = Uuid::now_v7().to_string();
    let first = sender.post(path, &key, &body).await;
    assert!(matches!(first.status, 201 | 202) && !first.replayed, "{path}: {first:?}");
    let again = sender.post(path, &key, &body).await;
    assert!(again.is_replay_of(&first), "{path}: {first:?} and then {again:?}");
    let elsewhere = if path == "/v1/operator-keys" { "/v1/tenants" } else { "/v1/operator-keys" };
    let (elsewhere, with) = match path.starts_with("/v1/tenants") || path.starts_with("/v1/operator") {
        true => (elsewhere.to_owned(), json!({ "name": "elsewhere" })),
        false => ("/v1/messages".to_owned(), json!({ "text": "elsewhere", "metadata": {} })),
    };
    let mut others = vec![(path.to_owned(), other)];
    // The operator's keys are told apart by the tenant of the path.
    if !path.contains("tnt_") {
        others.push((elsewhere, with));
    }
    for (path, body) in others {
        let refused = sender.post(&path, &key, &body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "idempotency-mismatch"), "{path}: {refused:?}");
    }
    first.json()
}

async fn dead_job(stack: &Stack, tenant: Uuid) -> String {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into dead_jobs (id, tenant_id, kind, key, payload, priority, attempt, cause, created_at)
         values ($1, $2, 'deliver_webhook', $1::text, '{}', 5, 1, 'answered 503', now())",
    )
    .bind(id)
    .bind(tenant)
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    format!("job_{}", id.simple())
}

#[tokio::test]
async fn a_repeated_creation_changes_nothing_on_every_route() {
    let stack = Stack::builder().workers(0).start().await;
    let operator = operator(&stack);
    let made = once(&operator, "/v1/tenants", json!({ "name": "One", "plan": "pro" }), json!({ "name": "Two" })).await;
    let sender = operator.with_key(made["api_key"]["key"].as_str().unwrap());
    let id = made["id"].as_str().unwrap();
    let tenant = Uuid::parse_str(id.strip_prefix("tnt_").unwrap()).unwrap();

    let key = |name: &str| json!({ "name": name, "scopes": ["admin"] });
    let user = |email: &str| json!({ "email": email, "name": "Ada", "role": "member" });
    once(&operator, &format!("/v1/tenants/{id}/api-keys"), key("a"), key("b")).await;
    once(&operator, &format!("/v1/tenants/{id}/users"), user("a@example.com"), user("b@example.com")).await;
    let own = once(&operator, "/v1/operator-keys", json!({ "name": "a" }), json!({ "name": "b" })).await;
    let rotation = (json!({}), json!({ "overlap_seconds": 1 }));
    let path = format!("/v1/operator-keys/{}/rotate", own["id"].as_str().unwrap());
    once(&operator, &path, rotation.0.clone(), rotation.1.clone()).await;

    once(&sender, "/v1/messages", message("one"), message("two")).await;
    let document = |text: &str| json!({ "name": "n", "content_type": "text/plain", "text": text });
    once(&sender, "/v1/documents", document("one"), document("two")).await;
    let endpoint = |path: &str| json!({ "url": format!("https://example.com/{path}") });
    once(&sender, "/v1/webhook-endpoints", endpoint("a"), endpoint("b")).await;
    let channel = |account: &str| json!({ "type": "whatsapp", "name": "Care", "account_id": account });
    once(&sender, "/v1/channels", channel("1"), channel("2")).await;
    let other = once(&sender, "/v1/api-keys", key("c"), key("d")).await;
    let path = format!("/v1/api-keys/{}/rotate", other["id"].as_str().unwrap());
    once(&sender, &path, rotation.0, rotation.1).await;
    let invited = once(&sender, "/v1/users", user("c@example.com"), user("d@example.com")).await;
    let path = format!("/v1/users/{}/invitation", invited["id"].as_str().unwrap());
    once(&sender, &path, json!({}), json!({ "other": true })).await;
    let job = dead_job(&stack, tenant).await;
    once(&sender, &format!("/v1/jobs/dead/{job}/replay"), json!({}), json!({ "other": true })).await;
    dead_job(&stack, tenant).await;
    once(&sender, "/v1/jobs/dead/replays", json!({ "all": true }), json!({ "kind": "deliver_webhook" })).await;

    for (query, rows) in [
        ("select count(*) from tenants", 1),
        ("select count(*) from api_keys", 4),
        ("select count(*) from users", 2),
        ("select count(*) from operator_keys", 2),
        ("select count(*) from messages", 1),
        ("select count(*) from documents", 1),
        ("select count(*) from webhook_endpoints", 1),
        ("select count(*) from dead_job_replays", 1),
        ("select count(*) from channels", 1),
        ("select count(*) from idempotency_keys", 15),
        // Responses that show a secret.
        ("select count(*) from idempotency_keys where sealed is not null", 10),
        ("select count(*) from idempotency_keys where response::text ~ 'whsec_|mk_live_|mk_admin_|mk_invite_'", 0),
    ] {
        assert_eq!(stack.database.count(query).await, rows, "{query}");
    }
}

#[tokio::test]
async fn a_form_is_the_same_however_its_bytes_arrive() {
    let stack = Stack::builder().workers(0).start().await;
    let sender = tenant(&stack).await;
    let form = |text: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n\
             {text}\r\n--b--\r\nbehind the end"
        )
    };
    let send = async |body: Body| {
        let request = sender.client.post(format!("{}/v1/documents", sender.api)).bearer_auth(&sender.key);
        let request = request.header("idempotency-key", "upload-1");
        Reply::of(request.header("content-type", "multipart/form-data; boundary=b").body(body).send().await.unwrap())
            .await
    };
    let first = send(form("one").into()).await;
    assert_eq!((first.status, first.replayed), (202, false), "{first:?}");
    // In pieces, the last of which the form's reader does not wait for.
    let whole = form("one");
    for cut in [10, whole.len() - 20, whole.len() - 14, whole.len() - 3] {
        let (head, tail) = whole.split_at(cut);
        let pieces = stream::unfold(vec![tail.to_owned(), head.to_owned()], async |mut pieces| {
            let piece = pieces.pop()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, std::io::Error>(piece), pieces))
        });
        let again = send(Body::wrap_stream(pieces)).await;
        assert!(again.is_replay_of(&first), "cut at {cut}: {again:?}");
    }
    let other = send(form("two").into()).await;
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency-mismatch"));
    let end = send(form("one").replace("behind", "after").into()).await;
    assert_eq!((end.status, end.problem().as_str()), (422, "idempotency-mismatch"), "other bytes");
    assert_eq!(stack.database.count("select count(*) from documents").await, 1);
}

#[test]
fn every_post_takes_a_key_or_says_why_not() {
    let description: Value = serde_json::from_str(include_str!("../../../api/openapi.json")).unwrap();
    for (path, item) in description["paths"].as_object().unwrap() {
        let Some(post) = item.get("post") else { continue };
        let takes =
            post["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "Idempotency-Key"));
        let excused = UNKEYED.iter().any(|(unkeyed, _)| unkeyed == path);
        assert!(takes != excused, "{path}");
    }
}
