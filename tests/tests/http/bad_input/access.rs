//! Keys, people and log-ins that are not made.

use reqwest::Method;
use serde_json::json;

use super::case::{Case, Key, NOBODY};

pub fn keys() -> Vec<Case> {
    let case = |name, body, field| Case::field(name, "/v1/api-keys", body, field);
    let missing = |name, method, path: &str| Case::new(name, method, format!("{path}{NOBODY}"), 404, "not-found");
    vec![
        case("a key without scopes", json!({ "name": "n" }), "scopes"),
        case("a key with a long name", json!({ "name": "n".repeat(201), "scopes": ["read"] }), "name"),
        case("a key until no time", json!({ "name": "n", "scopes": ["read"], "expires_at": "soon" }), "expires_at"),
        case("a key of a field unheard of", json!({ "name": "n", "scopes": ["read"], "tenant": "t" }), "tenant"),
        missing("a key that nobody has", Method::GET, "/v1/api-keys/key_"),
        missing("a key that nobody has, revoked", Method::DELETE, "/v1/api-keys/key_"),
        missing("a user that nobody is", Method::GET, "/v1/users/usr_"),
        missing("a user that nobody is, removed", Method::DELETE, "/v1/users/usr_"),
        missing("a key's id for a user", Method::GET, "/v1/users/key_"),
        Case::get("a cursor of another list", "/v1/audit-log?cursor=nonsense", 422, "invalid-request").about("cursor"),
        Case::field("settings that are none", "/v1/tenant", json!({ "settings": 5 }), "settings").patch(),
        Case::field("an operator's key without a name", "/v1/operator-keys", json!({}), "name").key(Key::Admin),
    ]
}

pub fn log_ins() -> Vec<Case> {
    let tenant = format!("tnt_{NOBODY}");
    let case = |name, body, field| Case::field(name, "/v1/session", body, field).key(Key::None);
    let with = |email: &str, password: &str| json!({ "tenant_id": tenant, "email": email, "password": password });
    let refused = |name, path, body: serde_json::Value, status, problem| {
        Case::post(name, path, body.to_string(), status, problem).key(Key::None)
    };
    vec![
        case("a log-in to no tenant", json!({ "email": "a@b", "password": "p" }), "tenant_id"),
        case(
            "a log-in to what is no tenant",
            json!({ "tenant_id": "t", "email": "a@b", "password": "p" }),
            "tenant_id",
        ),
        case("a log-in without an address", with("nobody", "p"), "email"),
        case("a log-in without a password", with("a@b", ""), "password"),
        case("a log-in with a book for a password", with("a@b", &"p".repeat(129)), "password"),
        refused("a log-in of nobody", "/v1/session", with("a@b", "p"), 401, "bad-credentials"),
        refused(
            "an invitation that was never made",
            "/v1/invitations/accept",
            json!({ "token": "mk_invite_0", "password": "correct horse battery" }),
            404,
            "not-found",
        ),
        Case::new("nobody logs out", Method::DELETE, "/v1/session", 401, "unauthorized").key(Key::None),
        Case::new("a key logs out", Method::DELETE, "/v1/session", 401, "unauthorized"),
        Case::get("a cookie that opens nothing", "/v1/usage", 401, "unauthorized")
            .key(Key::None)
            .header("cookie", format!("metachat_session={}", "0f".repeat(32))),
        Case::get("a session for a key", "/v1/usage", 401, "unauthorized").key(Key::Raw("Bearer metachat_session")),
    ]
}
