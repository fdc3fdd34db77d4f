//! Accepting a message: everything that must be true after a 202, in one transaction.

use axum::http::StatusCode;
use jobs::{
    domain::{
        event::NewEvent,
        ids::{ConversationId, MessageId},
        message::{MessageText, Status},
        plan::Limits,
    },
    kinds::{emit_event::emit, ingest_message::IngestMessage},
    queue::Work,
    store::{
        TenantTx,
        acceptance::{self, Accepted, NewCustomerMessage, Place},
        tenants::Tenant,
        usage::{self, Meter, Reached},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Links;
use crate::{
    extract::Traceparent,
    once::{Answer, Once},
    openapi::schemas,
    problem::Problem,
    state::AppState,
};

/// Who writes, when the message opens a conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The tenant's own id of its customer, 1 to 200 characters.
    #[schema(example = "customer-4711", min_length = 1, max_length = 200)]
    pub id: String,
    /// At most 200 characters.
    #[schema(example = "Ada Lovelace", max_length = 200)]
    pub name: Option<String>,
}

/// A message that was found acceptable.
pub struct Acceptable {
    pub text: MessageText,
    /// `None` opens a conversation.
    pub conversation: Option<ConversationId>,
    pub contact: Option<Contact>,
    pub metadata: Option<Map<String, Value>>,
    pub callback_url: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AcceptedMessage {
    #[schema(value_type = String, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: MessageId,
    #[schema(value_type = String, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    conversation_id: ConversationId,
    #[schema(schema_with = schemas::message_status)]
    status: Status,
    links: Links,
}

/// Stores the message with its job and, where it opens one, its conversation; counts usage; remembers the response under the
/// Idempotency-Key. A refusal leaves nothing behind.
pub async fn accept(
    state: &AppState,
    tenant: &Tenant,
    trace: &Traceparent,
    message: Acceptable,
    once: Once,
) -> Result<Answer, Problem> {
    let work = state.work(tenant, trace).await?;
    once.run(&state.vault, work, async |work| store(work, message, tenant).await).await
}

async fn store(work: &mut Work<TenantTx>, message: Acceptable, by: &Tenant) -> Result<Answer, Problem> {
    let limits = by.limits;
    let id = MessageId::generate();
    let contact = message.contact.as_ref();
    let (conversation, place) = match message.conversation {
        Some(conversation) => (conversation, Place::Continues(conversation)),
        None => {
            let conversation = ConversationId::generate();
            let contact_id = contact.map(|it| it.id.as_str());
            let contact_name = contact.and_then(|it| it.name.as_deref());
            (conversation, Place::Opens { conversation, contact_id, contact_name })
        }
    };
    let opens = message.conversation.is_none();
    let metadata = message.metadata.map(Value::Object);
    let traceparent = work.traceparent();
    let stored = NewCustomerMessage {
        id,
        text: message.text.as_str(),
        metadata: metadata.as_ref(),
        callback_url: message.callback_url.as_deref(),
        traceparent: traceparent.as_deref(),
    };
    match acceptance::accept(work.tx(), &stored, place, limits).await? {
        Accepted::Stored => {}
        Accepted::NoConversation => return Err(Problem::not_found("conversation")),
        Accepted::LimitReached => return Err(limit_reached(work.tx(), opens, limits).await?),
    }
    if opens {
        emit(work, NewEvent::conversation_created(conversation))?;
    }
    let tenant = work.tx().tenant();
    work.enqueue(&IngestMessage { tenant, conversation, message: id })?;
    work.count(metrics::counter!("metachat_messages_accepted_total", "plan" => by.plan.as_str()));
    let links = Links::of(id, conversation);
    let accepted = AcceptedMessage { id, conversation_id: conversation, status: Status::Queued, links };
    Ok(Answer::new(StatusCode::ACCEPTED, &accepted)?.at(format!("/v1/messages/{id}")))
}

async fn limit_reached(tx: &mut TenantTx, opens: bool, limits: Limits) -> Result<Problem, Problem> {
    let Reached { meter, used, limit } = usage::reached(tx, opens, limits).await?;
    let name = match meter {
        Meter::Messages => "messages",
        Meter::Conversations => "conversations",
    };
    Ok(Problem::plan_limit(name, limit, used))
}
