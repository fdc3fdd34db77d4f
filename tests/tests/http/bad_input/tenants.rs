//! Tenants that are not created.

use serde_json::json;

use super::case::{Case, Key};

pub fn tenants() -> Vec<Case> {
    let case = |name, body, field| Case::field(name, "/v1/tenants", body, field).key(Key::Admin);
    vec![
        case("a tenant without a name", json!({}), "name"),
        case("an empty name", json!({ "name": "" }), "name"),
        case("a blank name", json!({ "name": "  " }), "name"),
        case("a long name", json!({ "name": "n".repeat(201) }), "name"),
        case("a NUL in the name", json!({ "name": "a\0b" }), "name"),
        case("an unknown plan", json!({ "name": "n", "plan": "gold" }), "plan"),
        case("a negative limit", json!({ "name": "n", "limits": { "messages": -1 } }), "limits.messages"),
        case("an unknown limit", json!({ "name": "n", "limits": { "mesages": 1 } }), "limits.mesages"),
        case("a limit that is no number", json!({ "name": "n", "limits": { "messages": "many" } }), "limits.messages"),
        case("an unknown setting", json!({ "name": "n", "settings": { "tine": "dry" } }), "settings.tine"),
        case(
            "an unknown mode",
            json!({ "name": "n", "settings": { "confidence": { "mode": "wild" } } }),
            "settings.confidence.mode",
        ),
        case(
            "too hot",
            json!({ "name": "n", "settings": { "model": { "temperature": 2.1 } } }),
            "settings.model.temperature",
        ),
        case("an unknown field", json!({ "name": "n", "admin": true }), "admin"),
    ]
}
