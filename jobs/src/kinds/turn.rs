//! Turns: the messages of a conversation are answered one at a time, in the order they were accepted.
//!
//! A conversation's row names the message that has the turn. Whoever gives or ends a turn holds that row's lock,
//! so two messages never have it at once, and ending one gives it to the next in the same transaction.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::{
    emit_event::emit,
    escalate::Escalate,
    ingest_message::IngestMessage,
    retrieve::{Retrieve, Target},
};
use crate::{
    domain::{
        event::{EventType, NewEvent},
        handoff::{self, Reason},
        ids::{ConversationId, MessageId},
        message::{Failure, Status},
    },
    queue::{Work, signals::Topic},
    store::{
        StoreError, TenantTx,
        conversations::{self, Locked},
        messages::{self, End, Ended, Queued},
        stream::StreamEvent,
    },
};

/// Messages ended without an answer in one transaction at most; a conversation in a human's hands may hold any number.
const SILENT_ENDS: usize = 50;

/// Gives the turn to the oldest waiting message, unless one has it or that message is not ingested yet.
pub(super) async fn give_next(work: &mut Work<TenantTx>, conversation: &Locked) -> Result<(), StoreError> {
    if conversation.active.is_some() {
        return Ok(());
    }
    if conversation.human {
        return end_silently(work, conversation).await;
    }
    let Some(Queued { id: next, text, traceparent }) =
        messages::next_queued(work.tx(), conversation.id, 1).await?.pop()
    else {
        return Ok(());
    };
    begin(work, conversation, next).await?;
    let tenant = work.tx().tenant();
    if handoff::asks_for_human(&text) {
        let reason = Reason::CustomerRequest;
        let escalate = Escalate { tenant, conversation: conversation.id, message: next, reason };
        return work.enqueue_traced(&escalate, traceparent);
    }
    let target = Target::Message { message: next, conversation: conversation.id };
    work.enqueue_traced(&Retrieve { tenant, target }, traceparent)
}

/// Ends what waits in a conversation whose customer talks to a person already: the bot stays silent. The job of the
/// first message beyond this transaction's share goes on with the others.
async fn end_silently(work: &mut Work<TenantTx>, conversation: &Locked) -> Result<(), StoreError> {
    let mut waiting = messages::next_queued(work.tx(), conversation.id, SILENT_ENDS + 1).await?;
    let rest = waiting.split_off(SILENT_ENDS.min(waiting.len()));
    for Queued { id, .. } in waiting {
        begin(work, conversation, id).await?;
        conclude(work, conversation.id, id, End::of(Status::Escalated)).await?;
    }
    match rest.into_iter().next() {
        Some(Queued { id: message, traceparent, .. }) => {
            let tenant = work.tx().tenant();
            work.enqueue_traced(&IngestMessage { tenant, conversation: conversation.id, message }, traceparent)
        }
        None => Ok(()),
    }
}

async fn begin(work: &mut Work<TenantTx>, conversation: &Locked, message: MessageId) -> Result<(), StoreError> {
    messages::begin_turn(work.tx(), message, conversation.id, conversation.epoch).await?;
    announce(work, conversation.id, message, Status::Retrieving);
    Ok(())
}

/// Tells the message's stream and whoever polls that it changed its status.
pub(super) fn announce(work: &mut Work<TenantTx>, conversation: ConversationId, message: MessageId, status: Status) {
    work.log(conversation, message, StreamEvent::Status, json!({ "status": status }));
    work.tell(Topic::Progress, message.uuid());
}

/// Ends a message as [`conclude`] does, and gives the turn to the next one. Returns whether it was this call that
/// ended it.
pub(super) async fn end(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
    end: End<'_>,
) -> Result<bool, StoreError> {
    match conversations::lock(work.tx(), conversation).await? {
        Some(locked) => end_locked(work, locked, message, end).await,
        None => Ok(false),
    }
}

/// As [`end`], in a conversation that is locked already.
pub(super) async fn end_locked(
    work: &mut Work<TenantTx>,
    mut conversation: Locked,
    message: MessageId,
    end: End<'_>,
) -> Result<bool, StoreError> {
    if !conclude(work, conversation.id, message, end).await? {
        return Ok(false);
    }
    conversation.active = conversation.active.filter(|active| *active != message);
    give_next(work, &conversation).await?;
    Ok(true)
}

/// Gives the turn of a message from before `end`, which is gone, to the next one.
pub(super) async fn give_on(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    end: DateTime<Utc>,
) -> Result<(), StoreError> {
    let Some(mut locked) = conversations::lock(work.tx(), conversation).await? else { return Ok(()) };
    if locked.active.is_some_and(|active| active.created_at() < end) {
        conversations::free_turn(work.tx(), conversation).await?;
        locked.active = None;
        give_next(work, &locked).await?;
    }
    Ok(())
}

/// A message's final state, the reply in the transcript, the event, the end of its stream. A message that has ended
/// already is left as it is.
async fn conclude(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
    end: End<'_>,
) -> Result<bool, StoreError> {
    let reply_id = MessageId::generate();
    let Ended { ended, replied } = messages::finish(work.tx(), message, conversation, &end, reply_id).await?;
    if !ended {
        return Ok(false);
    }
    let End { status, reply, confidence, error } = end;
    work.count(metrics::counter!("metachat_messages_finished_total", "status" => status.as_str()));
    if status != Status::Cancelled {
        let took = (Utc::now() - message.created_at()).as_seconds_f64();
        work.measure(metrics::histogram!("metachat_answer_seconds"), took);
    }
    let mut event = match status {
        Status::Failed => Some(EventType::MessageFailed),
        _ => None,
    };
    let mut data = json!({ "status": status, "confidence": confidence, "error": error });
    if let Some(text) = reply
        && replied
    {
        event = Some(EventType::MessageSent);
        data["reply_id"] = json!(reply_id);
        data["text"] = json!(text);
    }
    if let Some(event) = event {
        emit(work, NewEvent::about_message(event, message, conversation, data))?;
    }
    work.log(conversation, message, StreamEvent::Done, json!({ "status": status }));
    work.tell(Topic::Progress, message.uuid());
    work.tell(Topic::Ended, message.uuid());
    Ok(true)
}

/// Ends a message at its owner's wish, in whatever state it is; a job that works on it finishes without effect.
/// Returns false when it had ended already.
pub async fn cancel(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    work.tell(Topic::Cancelled, message.uuid());
    end(work, conversation, message, End::of(Status::Cancelled)).await
}

/// Ends the message whose job gave up, `subject` being the job's. `detail` is for the tenant; the cause stays with
/// the dead letter. Returns false when there is no such message or it has ended.
pub(super) async fn fail(
    work: &mut Work<TenantTx>,
    subject: Option<Uuid>,
    code: &str,
    detail: &str,
) -> Result<bool, StoreError> {
    let Some(message) = subject.map(MessageId::from_uuid) else { return Ok(false) };
    let Some(found) = messages::find(work.tx(), message).await? else { return Ok(false) };
    let error = Failure { code: code.to_owned(), detail: detail.to_owned() };
    end(work, found.conversation, message, End { error: Some(&error), ..End::of(Status::Failed) }).await
}
