//! Accepting a message: everything that must be true after a 202, in one transaction.

use axum::http::StatusCode;
use jobs::{
    domain::{
        event::NewEvent,
        ids::{ConversationId, MessageId},
        message::{MessageText, Status},
    },
    kinds::{emit_event::emit, ingest_message::IngestMessage},
    queue::Work,
    store::{
        TenantTx, conversations,
        messages::{self, NewCustomerMessage},
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
#[schema(as = AcceptedMessage)]
pub struct Accepted {
    #[schema(value_type = String, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: MessageId,
    #[schema(value_type = String, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    conversation_id: ConversationId,
    #[schema(schema_with = schemas::message_status)]
    status: Status,
    links: Links,
}

/// Stores the message with its job and, where it opens one, its conversation; reserves usage; remembers the response
/// under the Idempotency-Key. A refusal leaves nothing behind.
pub async fn accept(
    state: &AppState,
    tenant: &Tenant,
    trace: &Traceparent,
    message: Acceptable,
    once: Once,
) -> Result<Answer, Problem> {
    let work = state.work(tenant, trace).await?;
    let opens = message.conversation.is_none();
    let effect = async |work: &mut Work<TenantTx>| store(work, message).await;
    // Last, because from here to the commit the tenant's other requests wait for its counters.
    let last = async |work: &mut Work<TenantTx>| {
        let Some(Reached { meter, used, limit }) = usage::reserve(work.tx(), opens, tenant.limits).await? else {
            return Ok(());
        };
        let name = match meter {
            Meter::Messages => "messages",
            Meter::Conversations => "conversations",
        };
        Err(Problem::plan_limit(name, limit, used))
    };
    once.run_then(&state.vault, work, effect, last).await
}

async fn store(work: &mut Work<TenantTx>, message: Acceptable) -> Result<Answer, Problem> {
    let id = MessageId::generate();
    let (conversation, seq) = place(work, &message).await?;
    let metadata = message.metadata.map(Value::Object);
    let stored = NewCustomerMessage {
        id,
        conversation,
        seq,
        text: message.text.as_str(),
        metadata: metadata.as_ref(),
        callback_url: message.callback_url.as_deref(),
    };
    messages::insert_customer(work.tx(), &stored).await?;
    let tenant = work.tx().tenant();
    work.enqueue(&IngestMessage { tenant, conversation, message: id })?;
    work.count(metrics::counter!("metachat_messages_accepted_total"));
    let links = Links::of(id, conversation);
    let accepted = Accepted { id, conversation_id: conversation, status: Status::Queued, links };
    Ok(Answer::new(StatusCode::ACCEPTED, &accepted)?.at(format!("/v1/messages/{id}")))
}

/// The message's conversation, found or opened, and its place in it.
async fn place(work: &mut Work<TenantTx>, message: &Acceptable) -> Result<(ConversationId, i32), Problem> {
    if let Some(conversation) = message.conversation {
        let seq = conversations::next_seq(work.tx(), conversation).await?;
        return Ok((conversation, seq.ok_or_else(|| Problem::not_found("conversation"))?));
    }
    let conversation = ConversationId::generate();
    let contact = message.contact.as_ref();
    let (id, name) = (contact.map(|it| it.id.as_str()), contact.and_then(|it| it.name.as_deref()));
    conversations::open(work.tx(), conversation, id, name).await?;
    emit(work, NewEvent::conversation_created(conversation)).await?;
    Ok((conversation, conversations::FIRST))
}
