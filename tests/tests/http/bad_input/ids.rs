//! Ids that name nothing the caller may see.

use reqwest::Method;
use serde_json::json;

use super::{
    Foreign,
    case::{Case, NOBODY},
};

/// Another tenant's things, things that do not exist and ids that are none look all the same.
pub fn ids(foreign: &Foreign) -> Vec<Case> {
    let Foreign { message, conversation, document, endpoint } = foreign;
    let get = |name, path: String| Case::get(name, path, 404, "not-found");
    let delete = |name, path: String| Case::new(name, Method::DELETE, path, 404, "not-found");
    let continued = json!({ "text": "a", "conversation_id": conversation }).to_string();
    vec![
        get("another's message", format!("/v1/messages/{message}")),
        get("another's message, waited for", format!("/v1/messages/{message}?wait=30")),
        get("another's stream", format!("/v1/messages/{message}/stream")),
        get("another's timeline", format!("/v1/messages/{message}/timeline")),
        get("another's conversation", format!("/v1/conversations/{conversation}")),
        get("another's transcript", format!("/v1/conversations/{conversation}/messages")),
        Case::post("a message in another's conversation", "/v1/messages", continued, 404, "not-found"),
        get("another's document", format!("/v1/documents/{document}")),
        delete("removing another's document", format!("/v1/documents/{document}")),
        get("another's endpoint", format!("/v1/webhook-endpoints/{endpoint}")),
        delete("removing another's endpoint", format!("/v1/webhook-endpoints/{endpoint}")),
        get("nobody's message", format!("/v1/messages/msg_{NOBODY}")),
        get("nobody's document", format!("/v1/documents/doc_{NOBODY}")),
        get("nobody's dead job", format!("/v1/jobs/dead/job_{NOBODY}")),
        Case::post("replaying nobody's job", format!("/v1/jobs/dead/job_{NOBODY}/replay"), "", 404, "not-found"),
        get("an id that is none", "/v1/messages/1".to_owned()),
        get("an id of another kind in the path", format!("/v1/documents/msg_{NOBODY}")),
        get("a quote for an id", "/v1/documents/'%20or%201=1".to_owned()),
    ]
}
