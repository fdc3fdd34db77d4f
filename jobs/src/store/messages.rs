//! Messages and the state of their answers.
//!
//! Every look-up by id also names `created_at`, which the id holds, so that Postgres reads one partition. One by conversation names the
//! time since that was opened, with a day on either side for clocks that differ: of the year of partitions that are there it needs few.

use serde_json::Value;
use uuid::Uuid;

use super::{Scope, StoreError, TenantTx, embedding_models::Models};
use crate::domain::{
    confidence::Confidence,
    ids::{ConversationId, MessageId},
    message::{Failure, Role, Status, Turn},
    retrieval::Source,
    settings::Settings,
};

/// The newest messages before a question that a completion sees.
pub const HISTORY: i64 = 20;

/// A customer's message as the pipeline needs it.
#[derive(Debug, Clone)]
pub struct InPipeline {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub text: String,
    pub status: Status,
    pub epoch: i32,
    pub sources: Vec<Source>,
    pub draft: Option<String>,
    pub confidence: Option<Confidence>,
}

/// Its columns.
struct Stored {
    conversation_id: Uuid,
    text: String,
    status: String,
    epoch: i32,
    sources: Option<Value>,
    draft: Option<String>,
    confidence: Option<Value>,
}

impl Stored {
    fn read(self, id: MessageId) -> Result<InPipeline, StoreError> {
        Ok(InPipeline {
            id,
            conversation: ConversationId::from_uuid(self.conversation_id),
            text: self.text,
            status: status(self.status)?,
            epoch: self.epoch,
            sources: self.sources.map(serde_json::from_value).transpose()?.unwrap_or_default(),
            draft: self.draft,
            confidence: self.confidence.map(serde_json::from_value).transpose()?,
        })
    }
}

/// A customer's message; `None` when the tenant has no such message.
pub async fn find(tx: &mut TenantTx, id: MessageId) -> Result<Option<InPipeline>, StoreError> {
    let row = sqlx::query_as!(
        Stored,
        r#"select conversation_id, text, status as "status!", epoch, sources, draft, confidence
           from messages where id = $1 and created_at = $2 and role = 'customer'"#,
        id.uuid(),
        id.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| row.read(id)).transpose()
}

pub(super) fn status(text: String) -> Result<Status, StoreError> {
    Status::parse(&text).ok_or(StoreError::Unreadable { column: "messages.status", value: text })
}

/// A customer's message with what its answer is made from.
#[derive(Debug, Clone)]
pub struct Question {
    pub message: InPipeline,
    /// The newest [`HISTORY`] lines that precede it, oldest first. Later questions of the customer are left out; answers given
    /// meanwhile are not.
    pub history: Vec<Turn>,
    pub tenant_name: String,
    pub settings: Settings,
    pub models: Models,
    /// Whether pieces of an earlier completion were streamed and not yet voided.
    pub streamed: bool,
}

/// A customer's message in a stage that works on its answer; `None` when the tenant has none, or it is in another stage.
pub async fn question(
    tx: &mut TenantTx,
    id: MessageId,
    conversation: ConversationId,
    stage: Status,
) -> Result<Option<Question>, StoreError> {
    let tenant = tx.tenant().uuid();
    let row = sqlx::query!(
        r#"select text, status as "status!", epoch, sources, draft, confidence,
             history.roles as "roles!", history.texts as "texts!",
             t.name, t.settings, t.embedding_model, t.next_embedding_model,
             coalesce((select event = 'delta' from message_stream
               where message_id = asked.id and event in ('delta', 'reset') order by position desc limit 1), false) as "streamed!"
           from messages asked cross join tenants t cross join lateral (
             select coalesce(array_agg(role order by seq), '{}') as roles, coalesce(array_agg(text order by seq), '{}') as texts
             from (
               select seq, role, text from messages
               where conversation_id = $3 and (seq < asked.seq or role <> 'customer')
                 and created_at between $4::timestamptz - interval '1 day' and now() + interval '1 day'
               order by seq desc limit $5
             ) newest
           ) history
           where asked.id = $1 and asked.created_at = $2 and conversation_id = $3 and role = 'customer' and status = $6
             and t.id = $7"#,
        id.uuid(),
        id.created_at(),
        conversation.uuid(),
        conversation.created_at(),
        HISTORY,
        stage.as_str(),
        tenant,
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let turns = row.roles.into_iter().zip(row.texts).map(|(role, text)| {
            let role = Role::parse(&role).ok_or(StoreError::Unreadable { column: "messages.role", value: role })?;
            Ok(Turn { role, text })
        });
        let (conversation_id, text, status, epoch) = (conversation.uuid(), row.text, row.status, row.epoch);
        let (sources, draft, confidence) = (row.sources, row.draft, row.confidence);
        Ok(Question {
            message: Stored { conversation_id, text, status, epoch, sources, draft, confidence }.read(id)?,
            history: turns.collect::<Result<_, StoreError>>()?,
            tenant_name: row.name,
            settings: serde_json::from_value(row.settings)?,
            models: Models { current: row.embedding_model, next: row.next_embedding_model },
            streamed: row.streamed,
        })
    })
    .transpose()
}

/// Notes that a message which waits was ingested; from now on it may be given the turn. Returns what it says; `None` when it was noted
/// before, or does not wait any more.
pub async fn mark_ingested(tx: &mut TenantTx, id: MessageId) -> Result<Option<String>, StoreError> {
    let noted = sqlx::query_scalar!(
        "update messages set ingested_at = clock_timestamp()
         where id = $1 and created_at = $2 and role = 'customer' and status = 'queued' and ingested_at is null
         returning text",
        id.uuid(),
        id.created_at(),
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(noted)
}

/// A message that waits for its turn.
#[derive(Debug, Clone)]
pub struct Queued {
    pub id: MessageId,
    pub text: String,
    /// Of the request that brought it.
    pub traceparent: Option<String>,
}

/// The oldest messages of a conversation that wait for their turn, up to the first that is not ingested yet.
pub async fn next_queued(
    tx: &mut TenantTx,
    conversation: ConversationId,
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    let rows = sqlx::query!(
        r#"select id, text, traceparent, ingested_at is not null as "ingested!" from messages
           where conversation_id = $1 and status = 'queued'
             and created_at between $3::timestamptz - interval '1 day' and now() + interval '1 day'
           order by seq limit $2"#,
        conversation.uuid(),
        limit as i64,
        conversation.created_at(),
    )
    .fetch_all(tx.connection())
    .await?;
    let queued = rows.into_iter().take_while(|row| row.ingested);
    let queued =
        queued.map(|row| Queued { id: MessageId::from_uuid(row.id), text: row.text, traceparent: row.traceparent });
    Ok(queued.collect())
}

/// Gives a message the turn of its conversation, under the epoch of this moment.
pub async fn begin_turn(
    tx: &mut TenantTx,
    id: MessageId,
    conversation: ConversationId,
    epoch: i32,
) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    sqlx::query!(
        "with turn as (
           update conversations set active_message_id = $1 where tenant_id = $3 and id = $4
         )
         update messages set status = 'retrieving', epoch = $5, turn_at = clock_timestamp()
         where id = $1 and created_at = $2",
        id.uuid(),
        id.created_at(),
        tenant,
        conversation.uuid(),
        epoch,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Saves what retrieval found and moves on to completing; returns false when the message ended meanwhile.
pub async fn save_sources(
    tx: &mut TenantTx,
    id: MessageId,
    sources: &[Source],
    retrieval: &Value,
) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "update messages set status = 'completing', sources = $3, retrieval = $4, retrieved_at = clock_timestamp()
         where id = $1 and created_at = $2 and status = 'retrieving'",
        id.uuid(),
        id.created_at(),
        serde_json::to_value(sources)?,
        retrieval,
    )
    .execute(tx.connection())
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// What a completion cost.
#[derive(Debug, Clone)]
pub struct CompletionRecord<'a> {
    pub draft: &'a str,
    pub model: &'a str,
    pub prompt_tokens: i32,
    pub completion_tokens: i32,
    pub cost_microusd: i64,
}

/// Saves the draft and moves on to scoring; returns false when the message ended meanwhile.
pub async fn save_draft(tx: &mut TenantTx, id: MessageId, record: &CompletionRecord<'_>) -> Result<bool, StoreError> {
    let moved = sqlx::query!(
        "update messages set status = 'scoring', draft = $3, model = $4, prompt_tokens = $5,
           completion_tokens = $6, cost_microusd = $7, completed_at = clock_timestamp()
         where id = $1 and created_at = $2 and status = 'completing'",
        id.uuid(),
        id.created_at(),
        record.draft,
        record.model,
        record.prompt_tokens,
        record.completion_tokens,
        record.cost_microusd,
    )
    .execute(tx.connection())
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Saves the verdict without ending the message, before it is escalated.
pub async fn save_confidence(tx: &mut TenantTx, id: MessageId, confidence: &Confidence) -> Result<(), StoreError> {
    sqlx::query!(
        "update messages set confidence = $3 where id = $1 and created_at = $2",
        id.uuid(),
        id.created_at(),
        serde_json::to_value(confidence)?,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A message's end.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    pub status: Status,
    /// What the customer is told, if anything.
    pub reply: Option<&'a str>,
    /// Replaces the verdict saved before, if any.
    pub confidence: Option<&'a Confidence>,
    pub error: Option<&'a Failure>,
}

impl End<'_> {
    pub const fn of(status: Status) -> Self {
        Self { status, reply: None, confidence: None, error: None }
    }
}

/// What came of an [`End`].
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Whether it was this call that ended the message.
    pub ended: bool,
    /// Whether the reply is in the transcript.
    pub replied: bool,
}

/// Ends a message that has not ended yet: it has the turn no more, and the reply, if any, is the transcript's next line, with the id
/// `reply`. Locks the conversation, so that sequence numbers commit in order.
pub async fn finish(
    tx: &mut TenantTx,
    id: MessageId,
    conversation: ConversationId,
    end: &End<'_>,
    reply: MessageId,
) -> Result<Ended, StoreError> {
    debug_assert!(end.status.is_final());
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_as!(
        Ended,
        r#"with ended as (
             update messages set status = $5, answer = $6, confidence = coalesce($7, confidence), error = $8,
               finished_at = clock_timestamp()
             where id = $1 and created_at = $2 and status in ('queued', 'retrieving', 'completing', 'scoring')
             returning true
           ), placed as (
             update conversations set active_message_id = nullif(active_message_id, $1),
               last_seq = last_seq + ($6::text is not null)::integer,
               updated_at = case when $6::text is null then updated_at else now() end
             where tenant_id = $3 and id = $4 and exists (select from ended)
               and (active_message_id = $1 or $6::text is not null)
             returning last_seq
           ), replied as (
             insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, reply_to)
             select $9, $10, $3, $4, last_seq, 'assistant', $6, $1 from placed where $6::text is not null
             returning true
           )
           select exists (select from ended) as "ended!", exists (select from replied) as "replied!""#,
        id.uuid(),
        id.created_at(),
        tenant,
        conversation.uuid(),
        end.status.as_str(),
        end.reply,
        end.confidence.map(serde_json::to_value).transpose()?,
        end.error.map(serde_json::to_value).transpose()?,
        reply.uuid(),
        reply.created_at(),
    )
    .fetch_one(tx.connection())
    .await?)
}
