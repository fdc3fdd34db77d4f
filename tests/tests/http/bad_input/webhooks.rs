//! Webhook endpoints that are not saved, and webhooks that are not received.

use serde_json::json;

use super::case::{Case, Key};

pub fn endpoints() -> Vec<Case> {
    let case = |name, body, field| Case::field(name, "/v1/webhook-endpoints", body, field);
    vec![
        case("an endpoint without a URL", json!({}), "url"),
        case("an endpoint at a private address", json!({ "url": "http://192.168.1.1/" }), "url"),
        case("an endpoint of another scheme", json!({ "url": "file:///etc/passwd" }), "url"),
        case("a long URL", json!({ "url": format!("https://example.com/{}", "a".repeat(2048)) }), "url"),
        case(
            "an unknown event type",
            json!({ "url": "https://example.com/", "event_types": ["message.sent", "message.set"] }),
            "event_types[1]",
        ),
    ]
}

pub fn stripe() -> Vec<Case> {
    vec![
        Case::post("Stripe without a secret configured", "/webhooks/stripe", "{}", 503, "not-configured")
            .key(Key::None),
    ]
}
