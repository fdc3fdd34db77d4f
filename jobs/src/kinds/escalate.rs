//! Hands a conversation over to a human.
//!
//! - **What:** opens an escalation (at most one per conversation), bumps the conversation's epoch, tells the
//!   customer, and ends the message as escalated.
//! - **Who enqueues it:** the turn of a message that asks for a person; `score_confidence` for an answer that is
//!   not good enough.
//! - **Twice:** the second run finds its job finished; an open escalation is joined, not doubled.
//! - **Gives up:** the message ends as failed, so that the customer is not left waiting.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{emit_event::emit, turn};
use crate::{
    domain::{
        event::NewEvent,
        handoff::Reason,
        ids::{ConversationId, EscalationId, MessageId, TenantId},
        message::Status,
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{
        StoreError, TenantTx, conversations, escalations,
        messages::{self, End},
    },
};

#[derive(Debug, Serialize, Deserialize)]
pub struct Escalate {
    pub tenant: TenantId,
    pub conversation: ConversationId,
    pub message: MessageId,
    pub reason: Reason,
}

impl Job for Escalate {
    type Scope = TenantTx;

    const KIND: &'static str = "escalate";
    const LANE: Lane = Lane { slots: 8, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 8, base: Duration::from_millis(500), cap: Duration::from_secs(60) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        self.message.to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.message.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let Self { conversation, message, reason, .. } = *self;
        let mut done = context.finish_at_commit::<TenantTx>().await?;
        if conversations::lock(done.tx(), conversation).await?.is_none() {
            return done.commit().await;
        }
        let found = messages::find(done.tx(), message).await?;
        let Some(escalated) = found.filter(|found| !found.status.is_final()) else {
            return done.commit().await;
        };
        let id = EscalationId::generate();
        let score = escalated.confidence.as_ref().map(|confidence| confidence.score);
        let evidence = json!({ "question": escalated.text, "draft": escalated.draft, "score": score });
        if escalations::open(done.tx(), id, conversation, message, reason, &evidence).await? {
            conversations::escalate(done.tx(), conversation).await?;
            emit(&mut done, NewEvent::escalation_requested(id, message, conversation, reason.as_str()))?;
            done.count(metrics::counter!("metachat_escalations_total", "reason" => reason.as_str()));
        }
        let ending = End { reply: Some(reason.notice()), ..End::of(Status::Escalated) };
        turn::end(&mut done, conversation, message, ending).await?;
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, _: &str) -> Result<(), StoreError> {
        let detail = "The conversation could not be handed over.";
        turn::fail(burial, envelope.subject, "escalation_failed", detail).await.map(drop)
    }
}
