//! What browsers are told: HTTPS, origins, compression.

use reqwest::{Method, Response};
use serde_json::json;
use tests::Stack;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Asker, connections::connect, header, problem};

const SHOP: &str = "https://shop.example";

async fn behind_a_proxy(mode: &str) -> (Stack, Asker) {
    let stack = Stack::builder().workers(0).env("HTTPS_MODE", mode).env("TRUSTED_PROXIES", "127.0.0.1").start().await;
    let asker = Asker::anonymous(&stack.api_url);
    (stack, asker)
}

#[tokio::test]
async fn https_is_enforced_on_a_trusted_proxys_word_and_never_for_probes() {
    let secure = [("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.5")];
    let plain = [("x-forwarded-proto", "http"), ("x-forwarded-for", "203.0.113.5")];
    let (stack, asker) = behind_a_proxy("redirect").await;
    let sent_on = asker.send(Method::GET, "/v1/events?limit=5", &plain, None).await;
    let address = format!("https://{}/v1/events?limit=5", "127.0.0.1");
    assert_eq!((sent_on.status().as_u16(), header(&sent_on, "location")), (308, address.as_str()));
    assert_eq!(header(&sent_on, "strict-transport-security"), "", "only HTTPS can promise HTTPS");
    let refused = asker.send(Method::POST, "/v1/messages", &plain, Some(json!({ "text": "in the clear" }))).await;
    assert_eq!(problem(refused).await.0, "https-required");
    let served = asker.send(Method::GET, "/v1/events", &secure, None).await;
    assert_eq!(served.status(), 401);
    assert_eq!(header(&served, "strict-transport-security"), "max-age=31536000");
    for probe in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(asker.get(probe).await.status(), 200, "{probe}");
    }
    stack.finish().await;

    let (stack, asker) = behind_a_proxy("require").await;
    let refused = asker.send(Method::GET, "/v1/events", &plain, None).await;
    assert_eq!((refused.status().as_u16(), header(&refused, "x-content-type-options")), (403, "nosniff"));
    assert_eq!(problem(refused).await.0, "https-required");
    assert_eq!(asker.send(Method::GET, "/v1/events", &secure, None).await.status(), 401);
    assert_eq!(asker.get("/healthz").await.status(), 200);
    stack.finish().await;
}

#[tokio::test]
async fn a_stranger_cannot_claim_https() {
    let stack = Stack::builder().workers(0).env("HTTPS_MODE", "require").start().await;
    let asker = Asker::anonymous(&stack.api_url);
    let claimed = asker.send(Method::GET, "/v1/events", &[("x-forwarded-proto", "https")], None).await;
    assert_eq!(header(&claimed, "strict-transport-security"), "");
    assert_eq!(problem(claimed).await.0, "https-required");
    assert_eq!(asker.get("/readyz").await.status(), 200);
    stack.finish().await;
}

fn allowed_origin(response: &Response) -> (&str, &str) {
    (header(response, "access-control-allow-origin"), header(response, "access-control-allow-credentials"))
}

#[tokio::test]
async fn only_listed_origins_are_answered_and_only_they_with_credentials() {
    let stack = Stack::builder().workers(0).env("CORS_ORIGINS", SHOP).start().await;
    let asker = Asker::tenant(&stack, json!({})).await;
    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,content-type,idempotency-key"),
        ];
        Asker::anonymous(&stack.api_url).send(Method::OPTIONS, "/v1/messages", &headers, None).await
    };
    let granted = preflight(SHOP).await;
    assert_eq!(granted.status(), 204);
    assert_eq!(allowed_origin(&granted), (SHOP, "true"));
    assert!(header(&granted, "access-control-allow-methods").contains("POST"));
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(header(&granted, "access-control-allow-headers").split(", ").any(|allowed| allowed == name), "{name}");
    }
    assert_eq!(header(&granted, "vary"), "origin");
    for origin in ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"] {
        let refused = preflight(origin).await;
        assert_eq!(refused.status(), 405, "{origin}");
        assert_eq!(allowed_origin(&refused), ("", ""), "{origin}");
        let read = asker.send(Method::GET, "/v1/events", &[("origin", origin)], None).await;
        assert_eq!((read.status().as_u16(), allowed_origin(&read)), (200, ("", "")), "{origin}");
    }
    let read = asker.send(Method::GET, "/v1/events", &[("origin", SHOP)], None).await;
    assert_eq!((read.status().as_u16(), allowed_origin(&read)), (200, (SHOP, "true")));
    assert!(header(&read, "access-control-expose-headers").contains("ratelimit"));
    let refused = Asker::anonymous(&stack.api_url).send(Method::GET, "/v1/events", &[("origin", SHOP)], None).await;
    assert_eq!(allowed_origin(&refused), (SHOP, "true"), "a script may read why it was refused");
    stack.finish().await;
}

#[tokio::test]
async fn long_answers_are_compressed_and_short_ones_are_not() {
    let stack = Stack::builder().workers(0).start().await;
    // By hand: a client undoes the compression.
    let answer = async |path: &str, accept: &str| {
        let mut connection = connect(&stack).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accept}\r\nConnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.expect("an answer");
        (String::from_utf8_lossy(&answer).contains("content-encoding: gzip\r\n"), answer.len())
    };
    let ((compressed, small), (plain, large)) =
        (answer("/openapi.json", "gzip").await, answer("/openapi.json", "identity").await);
    assert!(compressed && !plain && small * 4 < large, "{small} of {large} bytes");
    for path in ["/healthz", "/v1/events"] {
        assert!(!answer(path, "gzip").await.0, "{path}");
    }
    stack.finish().await;
}
