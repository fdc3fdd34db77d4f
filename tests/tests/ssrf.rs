//! Server-side request forgery: no URL of a tenant makes the product talk to the network it runs in.
//!
//! Each spelling goes through the real gate twice: at the api, where a tenant writes it, and in a worker that finds it
//! stored, as after a change of the rules. A trap listens on every local address and counts who comes.

mod names;
mod trap;
mod urls;

use std::{sync::Arc, time::Duration};

use jobs::{
    domain::{
        event::EventType,
        ids::{EndpointId, TenantId},
        secret::Vault,
    },
    ports::{SendError, SignedRequest, WebhookSender},
    store::{
        Scope, TenantTx,
        endpoints::{self, NewEndpoint},
    },
};
use loadtest::client::Submission;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::json;
use tests::{Stack, choose_tls_provider};
use trap::Trap;
use uuid::Uuid;
use worker::engines::webhook_sender::{HttpWebhookSender, WebhookConfig};

const LIMIT: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn config(allow: &str) -> WebhookConfig {
    WebhookConfig { webhook_timeout: 2000, egress_allow: allow.parse().expect("networks") }
}

fn request(url: impl Into<String>) -> SignedRequest {
    SignedRequest { url: url.into(), id: "evt_1".into(), body: "{}".into(), secret: SECRET.into(), traceparent: None }
}

#[tokio::test]
async fn no_hostile_url_is_accepted() {
    let trap = Trap::set().await;
    let stack = Stack::builder().workers(0).env("EGRESS_ALLOW", "").start().await;
    let (_, client) = stack.tenant("Hostile").await;
    let mut accepted = Vec::new();
    let hostile = urls::all(trap.port());
    assert!(hostile.len() >= 100, "{}", hostile.len());
    for url in &hostile {
        let attempts = [
            ("url", "/v1/webhook-endpoints", json!({ "url": url })),
            ("callback_url", "/v1/messages", json!({ "text": "Hello", "callback_url": url })),
        ];
        for (field, path, body) in attempts {
            let refusal = client.call(Method::POST, path, Some(&body)).await.err();
            let named = refusal.as_ref().is_some_and(|refusal| {
                let errors = refusal.problem().and_then(|problem| problem.more.get("errors"));
                refusal.status() == Some(422) && errors.is_some_and(|errors| errors[0]["field"] == field)
            });
            if !named {
                accepted.push(format!("{path} {url:?}: {refusal:?}"));
            }
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    assert_eq!(stack.database.count("select count(*) from webhook_endpoints").await, 0);
    assert_eq!(stack.database.count("select count(*) from messages").await, 0);
    trap.caught_nobody().await;
}

#[tokio::test]
async fn no_stored_url_makes_a_worker_reach_into_its_network() {
    let trap = Trap::set().await;
    let proxy = format!("http://127.0.0.1:{}", trap.port());
    let mut stack = Stack::builder()
        .workers(0)
        .env("EGRESS_ALLOW", "")
        .env("WEBHOOK_RETRY_MAX_ATTEMPTS", "1")
        .env("http_proxy", &proxy)
        .env("https_proxy", &proxy)
        .env("all_proxy", &proxy)
        .start()
        .await;
    let (tenant, client) = stack.tenant("Hostile").await;
    let owner = stack.database.owner().await.clone();
    let tenant: TenantId = tenant.id.parse().expect("an id");

    // Past the api's gate, as if an earlier version had let them in.
    let stored = [urls::all(trap.port()), urls::names(trap.port())].concat();
    let vault: Vault = stack.env("SECRETS_KEYS").parse().expect("the stack's keys");
    let mut tx = TenantTx::begin(&stack.database.connect(), Some(tenant)).await.expect("a transaction");
    for url in &stored {
        let (id, secret) = (EndpointId::generate(), SecretString::from(SECRET));
        let endpoint = NewEndpoint { id, url, event_types: &[EventType::ConversationCreated], secret: &secret };
        assert!(endpoints::insert(&mut tx, &vault, &endpoint, i64::MAX).await.expect("a stored endpoint"));
    }
    tx.commit().await.expect("stored endpoints");
    let callbacks = urls::this_machine(trap.port());
    let mut submission = Submission::new("Is anybody there?");
    for url in callbacks.iter().take(5) {
        let message = client.submit(&submission).await.expect("accepted").message;
        submission = Submission { conversation_id: Some(message.conversation_id), ..submission };
        let id = Uuid::parse_str(message.id.trim_start_matches("msg_")).expect("an id");
        let update = sqlx::query("update messages set callback_url = $1 where id = $2").bind(url).bind(id);
        assert_eq!(update.execute(&owner).await.expect("an update").rows_affected(), 1);
    }
    stack.start_worker().await;
    stack.idle(LIMIT).await;

    let attempts: Vec<(String, Option<i32>, Option<String>)> =
        sqlx::query_as("select url, status, error from webhook_attempts").fetch_all(&owner).await.expect("attempts");
    let reached: Vec<_> = attempts.iter().filter(|(_, status, error)| status.is_some() || error.is_none()).collect();
    assert!(reached.is_empty(), "{reached:?}");
    assert_eq!(attempts.len(), stored.len() + 5, "every URL was tried, once");
    trap.caught_nobody().await;
}

/// What the other tests refuse does lead here: each spelling reaches the trap when the gate is open.
#[tokio::test]
async fn the_spellings_of_this_machine_reach_it_where_the_operator_allows_it() {
    choose_tls_provider();
    let trap = Trap::set().await;
    let open = HttpWebhookSender::connect(&config("0.0.0.0/0, ::/0")).expect("a sender");
    let spellings = urls::this_machine(trap.port());
    for url in &spellings {
        let sent = open.send(request(url)).await;
        assert!(sent.as_ref().is_ok_and(|reply| reply.status == 418), "{url}: {sent:?}");
    }
    assert_eq!(trap.caught(), spellings.len());
}

#[tokio::test]
async fn a_redirect_into_the_network_is_not_followed() {
    choose_tls_provider();
    let trap = Trap::set().await;
    let sender = HttpWebhookSender::connect(&config("127.0.0.2/32")).expect("a sender");
    for status in [300, 301, 302, 303, 307, 308] {
        for location in ["http://127.0.0.1", "http://[::1]", "http://localhost", "//0"] {
            let location = format!("{location}:{}/", trap.port());
            let url = trap::redirecting(status, &location).await;
            let reply = sender.send(request(url)).await.expect("the redirect itself is a reply");
            assert_eq!(reply.status, status, "{location}");
        }
    }
    trap.caught_nobody().await;
}

#[tokio::test]
async fn a_name_is_checked_where_it_leads_and_connected_to_what_was_checked() {
    choose_tls_provider();
    let trap = Trap::set().await;
    let port = trap.port();
    // The one allowed address stands for the public internet.
    let good = trap::answering_at("127.0.0.2:0").await;
    let names = names::Scripted::default();
    let sender = HttpWebhookSender::resolving(&config("127.0.0.2/32"), Arc::new(names.clone())).expect("a sender");
    let hook = |port: u16| request(format!("http://hooks.example:{port}/"));

    for hidden in names::PRIVATE {
        names.answers([*hidden]);
        let sent = sender.send(hook(port)).await;
        assert!(matches!(sent, Err(SendError::Refused(_))), "{hidden}: {sent:?}");
    }
    // Of several addresses only the permitted one is connected to.
    names.answers(["127.0.0.1", "::1", "127.0.0.2", "10.0.0.1"]);
    assert_eq!(sender.send(hook(good)).await.expect("a reply").status, 200);

    // Rebinding: a look-up for each connection, and the connection goes where that look-up said.
    for _ in 0..10 {
        names.forget();
        names.answers(["127.0.0.2"]);
        names.answers(["127.0.0.1"]);
        assert_eq!(sender.send(hook(good)).await.expect("a reply").status, 200);
        assert_eq!(names.asked(), 1, "what was checked is what is used");
        assert!(matches!(sender.send(hook(port)).await, Err(SendError::Refused(_))));
    }
    trap.caught_nobody().await;
}
