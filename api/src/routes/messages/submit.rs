//! Submitting a message.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jobs::domain::{egress::EgressPolicy, ids::ConversationId, message::MessageText};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    accept::{self, Acceptable, Accepted, Contact, Once},
    view::Message,
};
use crate::{
    extract::{Caller, IdempotencyKey, PreferWait, RawJson, Traceparent, scope::MessagesWrite},
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

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// What the customer asks, 1 to 4096 characters.
    #[schema(min_length = 1, max_length = 4096, pattern = "\\S", example = "How long do I have to return a tent?")]
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
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[ -~]+$", description = "Makes a repetition safe: the same key and body get \
            the first response again, with `Idempotency-Replayed: true`. At most 255 characters, kept at least 24 hours."),
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N (at most 60) seconds for the answer.",
            example = "wait=20"),
    ),
    request_body = Submission,
    responses(
        (status = 202, description = "Accepted; `links` tell where to follow it.", body = Accepted),
        (status = 200, description = "Final within the preferred wait.", body = Message),
        (status = 402, description = "The plan's limit of messages or conversations is reached.", body = Document,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such conversation.", body = Document,
            content_type = "application/problem+json"),
        (status = 409, description = "The first request with this key is in flight.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn submit(
    caller: Caller<MessagesWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    IdempotencyKey(key): IdempotencyKey,
    PreferWait(prefer): PreferWait,
    RawJson { value, bytes }: RawJson<Submission>,
) -> Result<Response, Problem> {
    let message = check(value, &state.egress)?;
    let once = key.map(|key| Once::new(key, &bytes));
    let accepted = accept::accept(&state, &caller, &trace, message, once).await?;

    let waited = match prefer {
        // From here on the message is accepted: a failure to wait is no failure of the request.
        Some(wait) if !wait.is_zero() => {
            let message = waiting::for_message(&state, caller.id, accepted.message, wait).await.ok().flatten();
            message.filter(|message| message.status.is_final()).map(|message| (wait, message))
        }
        _ => None,
    };
    let location =
        HeaderValue::from_str(&format!("/v1/messages/{}", accepted.message)).expect("an id is visible ASCII");
    let mut response = match waited {
        Some((wait, message)) => {
            let applied = HeaderValue::from_str(&format!("wait={}", wait.as_secs())).expect("digits are visible ASCII");
            ([(PREFERENCE_APPLIED, applied)], Json(Message::from(message))).into_response()
        }
        None => (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(accepted.response)).into_response(),
    };
    if accepted.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
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
