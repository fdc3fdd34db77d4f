//! Turns: the messages of a conversation are answered one at a time, in the order they were accepted.
//!
//! A conversation's row names the message that has the turn. Whoever gives or ends a turn holds that row's lock,
//! so two messages never have it at once, and ending one gives it to the next in the same transaction.

use serde_json::json;

use super::{
    emit_event::emit,
    escalate::Escalate,
    retrieve::{Retrieve, Target},
};
use crate::{
    domain::{
        event::{EventType, NewEvent},
        handoff::{self, Reason},
        ids::{ConversationId, MessageId},
        message::{Failure, Status},
    },
    queue::Work,
    store::{
        StoreError, TenantTx,
        conversations::{self, Locked},
        messages::{self, End},
        stream::{self, StreamEvent},
    },
};

/// Gives the turn to the oldest waiting message, unless one has it or that message is not ingested yet.
pub(super) async fn give_next(work: &mut Work<TenantTx>, conversation: &Locked) -> Result<(), StoreError> {
    if conversation.active.is_some() {
        return Ok(());
    }
    let Some((next, true)) = messages::next_queued(work.tx(), conversation.id).await? else {
        return Ok(());
    };
    let Some(message) = messages::find(work.tx(), next).await? else {
        return Ok(());
    };
    conversations::set_active(work.tx(), conversation.id, Some(next)).await?;
    messages::begin_turn(work.tx(), next, conversation.epoch).await?;
    announce(work, conversation.id, next, Status::Retrieving).await?;
    let tenant = work.tx().tenant();
    if conversation.human {
        // The customer already talks to a person; the bot stays silent.
        return end(work, conversation.id, next, End::of(Status::Escalated)).await.map(drop);
    }
    if handoff::asks_for_human(&message.text) {
        let reason = Reason::CustomerRequest;
        return work.enqueue(&Escalate { tenant, conversation: conversation.id, message: next, reason });
    }
    work.enqueue(&Retrieve { tenant, target: Target::Message { message: next, conversation: conversation.id } })
}

/// Tells the message's stream and whoever polls that it changed its status.
pub(super) async fn announce(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
    status: Status,
) -> Result<(), StoreError> {
    let data = json!({ "status": status });
    stream::append(work.tx(), conversation, message, StreamEvent::Status, &data).await?;
    work.progress(message.uuid());
    Ok(())
}

/// Ends a message: its final state, the reply in the transcript, the event, the end of its stream, and the turn
/// of the next message. A message that has ended already is left as it is; returns whether it was this call that ended it.
///
/// Boxed because ending one turn may, through a conversation in a human's hands, end the next one as well.
pub(super) fn end<'a>(
    work: &'a mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
    end: End<'a>,
) -> futures::future::BoxFuture<'a, Result<bool, StoreError>> {
    Box::pin(async move {
        let Some(mut locked) = conversations::lock(work.tx(), conversation).await? else {
            return Ok(false);
        };
        if !messages::finish(work.tx(), message, &end).await? {
            return Ok(false);
        }
        let End { status, reply, confidence, error } = end;
        work.count(metrics::counter!("metachat_messages_finished_total", "status" => status.as_str()));
        let mut event = match status {
            Status::Failed => Some(EventType::MessageFailed),
            _ => None,
        };
        let mut data = json!({ "status": status, "confidence": confidence, "error": error });
        if let Some(text) = reply
            && let Some(seq) = conversations::next_seq(work.tx(), conversation).await?
        {
            let id = MessageId::generate();
            messages::insert_reply(work.tx(), id, conversation, seq, message, text).await?;
            event = Some(EventType::MessageSent);
            data["reply_id"] = json!(id);
            data["text"] = json!(text);
        }
        if let Some(event) = event {
            emit(work, NewEvent::about_message(event, message, conversation, data)).await?;
        }
        let data = json!({ "status": status });
        stream::append(work.tx(), conversation, message, StreamEvent::Done, &data).await?;
        work.progress(message.uuid());
        if locked.active == Some(message) {
            conversations::set_active(work.tx(), conversation, None).await?;
            locked.active = None;
        }
        give_next(work, &locked).await?;
        Ok(true)
    })
}

/// Ends a message at its owner's wish, in whatever state it is; a job that works on it finishes without effect.
/// Returns false when it had ended already.
pub async fn cancel(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
) -> Result<bool, StoreError> {
    end(work, conversation, message, End::of(Status::Cancelled)).await
}

/// Ends a message whose job gave up. `detail` is for the tenant; the cause stays with the dead letter.
pub(super) async fn fail(
    work: &mut Work<TenantTx>,
    conversation: ConversationId,
    message: MessageId,
    code: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let error = Failure { code: code.to_owned(), detail: detail.to_owned() };
    end(work, conversation, message, End { error: Some(&error), ..End::of(Status::Failed) }).await.map(drop)
}
