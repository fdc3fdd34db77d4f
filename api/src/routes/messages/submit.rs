//! Submitting a message.

use std::time::Duration;

use axum::{
    Json as Body,
    extract::State,
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use jobs::domain::{
    egress::EgressPolicy,
    ids::{ConversationId, TenantId},
    message::MessageText,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    accept::{self, Acceptable, AcceptedMessage, Contact},
    view::Message,
};
use crate::{
    extract::{Caller, Json, KeyHeader, Keyed, PreferWait, Traceparent, scope::MessagesWrite},
    once::{Answer, REPLAYED},
    problem::{Document, Fields, Problem},
    state::AppState,
    waiting,
};

/// Largest metadata, in bytes of JSON.
const MAX_METADATA: usize = 16 * 1024;
/// Longest texts of a contact, in characters.
const MAX_CONTACT: usize = 200;
/// Longest callback URL, in characters.
const MAX_URL: usize = 2048;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// What the customer asks, 1 to 4096 characters.
    #[schema(
        min_length = 1,
        max_length = 4096,
        pattern = "[^\\s\\u0085]",
        example = "How long do I have to return a tent?"
    )]
    text: String,
    /// Continues a conversation; absent, the message opens one.
    #[schema(value_type = Option<String>, pattern = "^conv_[0-9a-fA-F]{32}$", example = json!(null))]
    conversation_id: Option<ConversationId>,
    /// Used when the message opens a conversation.
    contact: Option<Contact>,
    /// An object of the tenant's own, at most 16 KB.
    #[schema(value_type = Option<Object>, example = json!({ "channel": "shop" }))]
    metadata: Option<Map<String, Value>>,
    /// Receives the outcome as a signed webhook.
    #[schema(pattern = "^https?://", max_length = 2048, example = "https://example.com/hooks/metachat")]
    callback_url: Option<String>,
}

/// Accepts a message. It is durable when the response arrives; the answer follows by `GET` (with `?wait=`), by stream,
/// by callback, or in this response with `Prefer: wait=N`.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", operation_id = "submit_message",
    security(("tenant_key" = ["messages:write"])),
    params(
        KeyHeader,
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N (at most 60) seconds for the answer.",
            example = "wait=20"),
    ),
    request_body = Submission,
    responses(
        (status = 202, description = "Accepted; `links` tell where to follow it.", body = AcceptedMessage),
        (status = 200, description = "Final within the preferred wait.", body = Message),
        (status = 402, description = "The plan's limit of messages or conversations is reached.", body = Document,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn submit(
    caller: Caller<MessagesWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    PreferWait(prefer): PreferWait,
    Keyed { once, body: Json(submission) }: Keyed<Json<Submission>>,
) -> Result<Response, Problem> {
    let message = check(submission, &state.egress)?;
    let accepted = accept::accept(&state, &caller, &trace, message, once).await?;
    let replayed = accepted.replayed;

    // From here on the message is accepted: a failure to wait is no failure of the request.
    let waited = match prefer {
        Some(wait) if !wait.is_zero() => final_within(&state, caller.id, &accepted, wait).await.map(|it| (wait, it)),
        _ => None,
    };
    let Some((wait, message)) = waited else { return Ok(accepted.into_response()) };
    let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs())).expect("digits are visible ASCII");
    let mut response = ([(PREFERENCE_APPLIED, applied)], Body(message)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The accepted message, when it ends in time.
async fn final_within(state: &AppState, tenant: TenantId, accepted: &Answer, wait: Duration) -> Option<Message> {
    let accepted: Value = serde_json::from_str(accepted.body()).ok()?;
    let id = accepted["id"].as_str()?.parse().ok()?;
    let message = waiting::for_message(state, tenant, id, wait).await.ok().flatten()?;
    message.status.is_final().then(|| message.into())
}

fn check(submission: Submission, egress: &EgressPolicy) -> Result<Acceptable, Problem> {
    let mut fields = Fields::default();
    let Submission { text, conversation_id, contact, metadata, callback_url } = submission;
    let text = fields.keep("text", MessageText::parse(text));
    if let Some(contact) = &contact {
        fields.text("contact.id", &contact.id, 1..=MAX_CONTACT);
        if let Some(name) = &contact.name {
            fields.text("contact.name", name, 0..=MAX_CONTACT);
        }
    }
    if let Some(metadata) = &metadata {
        let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
        if bytes > MAX_METADATA {
            fields.refuse("metadata", format!("has {bytes} bytes; at most {MAX_METADATA} are allowed"));
        }
    }
    if let Some(url) = &callback_url {
        fields.text("callback_url", url, 1..=MAX_URL);
        fields.keep("callback_url", egress.check_url(url));
    }
    fields.finish()?;
    let text = text.expect("a text that was refused ended the request");
    Ok(Acceptable { text, conversation: conversation_id, contact, metadata, callback_url })
}
