//! Accepting a message: everything that must be true after a 202, in one transaction.

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
        idempotency::{self, Known},
        messages::{self, NewCustomerMessage},
        tenants::Tenant,
        usage::{self, Meter, Reached},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::Links;
use crate::{
    extract::Traceparent,
    openapi::schemas,
    problem::{Kind, Problem},
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

/// An Idempotency-Key and what it stands for.
pub struct Once {
    pub key: String,
    fingerprint: [u8; 32],
}

impl Once {
    /// `body` is the request's, byte for byte.
    pub fn new(key: String, body: &[u8]) -> Self {
        let fingerprint = Sha256::new().chain_update("POST /v1/messages\n").chain_update(body).finalize().into();
        Self { key, fingerprint }
    }
}

/// What acceptance came to.
pub struct Outcome {
    pub message: MessageId,
    /// The body of the 202.
    pub response: Value,
    /// Whether an earlier request with the key was accepted and this one changed nothing.
    pub replayed: bool,
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
    once: Option<Once>,
) -> Result<Outcome, Problem> {
    let mut work = state.work(tenant, trace).await?;
    if let Some(Once { key, fingerprint }) = &once {
        match idempotency::claim(work.tx(), key, fingerprint).await? {
            Known::New => {}
            Known::Replay(response) => return replay(response),
            Known::InFlight => return Err(Problem::new(Kind::IdempotencyInFlight)),
            Known::Mismatch => return Err(Problem::new(Kind::IdempotencyMismatch)),
        }
    }
    let (id, opens) = (MessageId::generate(), message.conversation.is_none());
    let (conversation, seq) = place(&mut work, &message).await?;
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
    work.enqueue(&IngestMessage { tenant: tenant.id, conversation, message: id })?;
    let links = Links::of(id, conversation);
    let response = json!(Accepted { id, conversation_id: conversation, status: Status::Queued, links });
    if let Some(Once { key, fingerprint }) = &once {
        idempotency::save(work.tx(), key, fingerprint, &response).await?;
    }
    // Last, because from here to the commit the tenant's other requests wait for its counters.
    if let Some(Reached { meter, used, limit }) = usage::reserve(work.tx(), opens, tenant.limits).await? {
        let name = match meter {
            Meter::Messages => "messages",
            Meter::Conversations => "conversations",
        };
        return Err(Problem::plan_limit(name, limit, used));
    }
    work.commit().await?;
    metrics::counter!("metachat_messages_accepted_total").increment(1);
    Ok(Outcome { message: id, response, replayed: false })
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

fn replay(response: Value) -> Result<Outcome, Problem> {
    let message = response["id"].as_str().and_then(|id| id.parse().ok());
    let message = message.ok_or_else(|| Problem::new(Kind::Internal).cause("a saved response names no message"))?;
    Ok(Outcome { message, response, replayed: true })
}
