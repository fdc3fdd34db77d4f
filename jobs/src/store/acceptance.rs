//! Accepting a customer's message: one statement, since every submission waits for it.

use serde_json::Value;

use super::{Scope, StoreError, TenantTx};
use crate::domain::{
    ids::{ConversationId, MessageId},
    plan::Limits,
};

/// A customer's message as it comes.
#[derive(Debug, Clone)]
pub struct NewCustomerMessage<'a> {
    pub id: MessageId,
    pub text: &'a str,
    pub metadata: Option<&'a Value>,
    pub callback_url: Option<&'a str>,
    /// The request's trace, which its turn goes on with.
    pub traceparent: Option<&'a str>,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    Opens { conversation: ConversationId, contact_id: Option<&'a str>, contact_name: Option<&'a str> },
    Continues(ConversationId),
}

/// What became of a message. Unless it was stored, the caller rolls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    Stored,
    /// The tenant has no such conversation.
    NoConversation,
    /// The plan's limit of messages, or of conversations, is reached.
    LimitReached,
}

/// Opens the message's conversation or takes the next sequence number of one, counts both in this month's usage (UTC), and
/// stores the message. Fails with [`StoreError::TenantClosed`] when the tenant takes no new work, whatever a cache said
/// of it.
///
/// Locks the conversation, so that its sequence numbers commit in order, then the tenant's counters, so that concurrent
/// requests cannot both take the last of a limit. The transaction should end soon.
pub async fn accept(
    tx: &mut TenantTx,
    message: &NewCustomerMessage<'_>,
    place: Place<'_>,
    limits: Limits,
) -> Result<Accepted, StoreError> {
    let tenant = tx.tenant().uuid();
    let (conversation, opens, contact_id, contact_name) = match place {
        Place::Opens { conversation, contact_id, contact_name } => (conversation, true, contact_id, contact_name),
        Place::Continues(conversation) => (conversation, false, None, None),
    };
    let found = sqlx::query!(
        r#"with tenant as (
             select id from tenants where id = $1 and enabled and not erasing
           ), opened as (
             insert into conversations (id, tenant_id, contact_id, contact_name, last_seq)
             select $2, id, $4, $5, 1 from tenant where $3
             returning last_seq
           ), continued as (
             update conversations c set last_seq = last_seq + 1, updated_at = now()
             from tenant where not $3 and c.tenant_id = $1 and c.id = $2
             returning last_seq
           ), placed as (
             select last_seq from opened union all select last_seq from continued
           ), counted as (
             insert into usage_months as u (tenant_id, month, messages, conversations)
             select $1, date_trunc('month', now() at time zone 'utc')::date, 1, $3::boolean::integer
             from placed where $6::bigint > 0 and (not $3 or $7::bigint > 0)
             on conflict (tenant_id, month) do update
               set messages = u.messages + 1, conversations = u.conversations + excluded.conversations
               where u.messages < $6 and (not $3 or u.conversations < $7)
             returning true
           ), stored as (
             insert into messages
               (id, created_at, tenant_id, conversation_id, seq, role, text, metadata, callback_url, traceparent,
                status)
             select $8, $9, $1, $2, last_seq, 'customer', $10, $11, $12, $13, 'queued' from placed, counted
             returning true
           )
           select exists (select from tenant) as "open!", exists (select from placed) as "placed!",
             exists (select from stored) as "stored!""#,
        tenant,
        conversation.uuid(),
        opens,
        contact_id,
        contact_name,
        limits.messages,
        limits.conversations,
        message.id.uuid(),
        message.id.created_at(),
        message.text,
        message.metadata,
        message.callback_url,
        message.traceparent,
    )
    .fetch_one(tx.connection())
    .await?;
    match (found.open, found.placed, found.stored) {
        (false, ..) => Err(StoreError::TenantClosed),
        (true, false, _) => Ok(Accepted::NoConversation),
        (true, true, false) => Ok(Accepted::LimitReached),
        (true, true, true) => Ok(Accepted::Stored),
    }
}
