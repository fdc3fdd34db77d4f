//! Keys, bodies and paths that no route takes.

use reqwest::Method;

use super::case::{Case, Key, NOBODY};

pub fn keys() -> Vec<Case> {
    let refused = |name, path: &str, key| Case::get(name, path, 401, "unauthorized").key(key);
    let unknown = "Bearer mk_live_0000000000000000000000000000000000000000000000000000000000000000";
    vec![
        refused("no key", "/v1/usage", Key::None),
        refused("an unknown key", "/v1/usage", Key::Raw(unknown)),
        refused("a key of another form", "/v1/usage", Key::Raw("Bearer nonsense")),
        refused("another scheme", "/v1/usage", Key::Raw("Basic bWU6bWU=")),
        refused("an empty token", "/v1/usage", Key::Raw("Bearer ")),
        refused("the admin key on a tenant's route", "/v1/usage", Key::Admin),
        refused("no key on a stream", &format!("/v1/messages/msg_{NOBODY}/stream"), Key::None),
        Case::post("a tenant's key on an admin route", "/v1/tenants", r#"{"name":"x"}"#, 401, "unauthorized"),
        Case::post("no key on an admin route", "/v1/tenants", r#"{"name":"x"}"#, 401, "unauthorized").key(Key::None),
        Case::post("no key before the body is read", "/v1/messages", "{", 401, "unauthorized").key(Key::None),
    ]
}

pub fn bodies() -> Vec<Case> {
    let post = |name, body: &str, status, problem| Case::post(name, "/v1/messages", body, status, problem);
    vec![
        post("broken JSON", "{\"text\":", 400, "malformed-json"),
        post("no body", "", 400, "malformed-json"),
        post("two values", "{\"text\":\"a\"}{}", 400, "malformed-json"),
        post("bytes that are no UTF-8", "", 400, "malformed-json").body(b"{\"text\":\"\xff\"}".to_vec()),
        post(
            "too deep",
            &format!("{{\"text\":\"a\",\"metadata\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200)),
            400,
            "malformed-json",
        ),
        post("no object", "[]", 422, "invalid-request"),
        post("no content type", "{\"text\":\"a\"}", 415, "unsupported-media-type").header("content-type", ""),
        post("another content type", "text=a", 415, "unsupported-media-type").header("content-type", "text/plain"),
        post("over 5 MB", &format!("{{\"text\":\"{}\"}}", "a".repeat(5 * 1024 * 1024)), 413, "payload-too-large"),
        Case::get("no such path", "/v1/nothing", 404, "not-found"),
        Case::get("no such path without a key", "/nothing", 404, "not-found").key(Key::None),
        Case::new("another method", Method::PUT, "/v1/messages", 405, "method-not-allowed"),
        Case::new(
            "another method of a path with an id",
            Method::POST,
            format!("/v1/documents/doc_{NOBODY}"),
            405,
            "method-not-allowed",
        ),
    ]
}
