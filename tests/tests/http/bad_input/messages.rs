//! Messages that are not accepted.

use serde_json::json;

use super::case::{Case, NOBODY};

pub fn messages() -> Vec<Case> {
    let case = |name, body, field| Case::field(name, "/v1/messages", body, field);
    let url = |name, url: &str| case(name, json!({ "text": "a", "callback_url": url }), "callback_url");
    let unknown = json!({ "text": "a", "conversation_id": format!("conv_{NOBODY}") });
    let valid = || json!({ "text": "a" });
    vec![
        case("no text", json!({}), "text"),
        case("an empty text", json!({ "text": "" }), "text"),
        case("a blank text", json!({ "text": " \n\t" }), "text"),
        case("4097 characters", json!({ "text": "ž".repeat(4097) }), "text"),
        case("a text that is no text", json!({ "text": 5 }), "text"),
        case("a NUL in the text", json!({ "text": "a\0" }), "text"),
        case("a field with a typing error", json!({ "text": "a", "conversationid": "x" }), "conversationid"),
        case(
            "an id of another kind",
            json!({ "text": "a", "conversation_id": format!("msg_{NOBODY}") }),
            "conversation_id",
        ),
        Case::post("an unknown conversation", "/v1/messages", unknown.to_string(), 404, "not-found"),
        case("a contact without an id", json!({ "text": "a", "contact": { "name": "Ada" } }), "contact.id"),
        case("a long contact id", json!({ "text": "a", "contact": { "id": "i".repeat(201) } }), "contact.id"),
        case(
            "a long contact name",
            json!({ "text": "a", "contact": { "id": "i", "name": "n".repeat(201) } }),
            "contact.name",
        ),
        case("an unknown contact field", json!({ "text": "a", "contact": { "id": "i", "mail": "m" } }), "contact.mail"),
        case("metadata that is no object", json!({ "text": "a", "metadata": [1] }), "metadata"),
        case("large metadata", json!({ "text": "a", "metadata": { "a": "b".repeat(16 * 1024) } }), "metadata"),
        case("a NUL in the metadata", json!({ "text": "a", "metadata": { "a": ["\0"] } }), "metadata.a[0]"),
        url("no URL", "nonsense"),
        url("another scheme", "ftp://example.com/"),
        url("a script", "javascript:alert(1)"),
        url("a password in the URL", "https://me:secret@example.com/"),
        url("a private address", "http://10.0.0.1/"),
        url("the cloud's metadata", "http://169.254.169.254/latest/meta-data/"),
        url("a private address in disguise", "http://0x0a000001/"),
        url("a private address mapped to IPv6", "http://[::ffff:10.0.0.1]/"),
        case("an empty Idempotency-Key", valid(), "Idempotency-Key").header("idempotency-key", ""),
        case("a long Idempotency-Key", valid(), "Idempotency-Key").header("idempotency-key", "k".repeat(256)),
        case("an Idempotency-Key with a tab", valid(), "Idempotency-Key").header("idempotency-key", "order\t1"),
        Case::get("a long wait", format!("/v1/messages/msg_{NOBODY}?wait=61"), 422, "invalid-request").about("wait"),
        Case::get("a wait that is no number", format!("/v1/messages/msg_{NOBODY}?wait=long"), 422, "invalid-request")
            .about("wait"),
        Case::get("an event id that is none", format!("/v1/messages/msg_{NOBODY}/stream"), 422, "invalid-request")
            .header("last-event-id", "x")
            .about("last-event-id"),
    ]
}
