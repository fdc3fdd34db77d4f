//! Takes an accepted message into its conversation.
//!
//! - **What:** notes the message as ingested and gives it the turn when no earlier one waits or is being answered.
//! - **Who enqueues it:** the route that accepts messages, in the transaction that stores the message; again the
//!   turns of a conversation in a human's hands, to end the next share of a long queue.
//! - **Twice:** the second run finds its job finished and changes nothing.
//! - **Gives up:** the message fails, and the conversation goes on with the next one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{emit_event::emit, turn};
use crate::{
    domain::{
        event::{EventType, NewEvent},
        ids::{ConversationId, MessageId, TenantId},
        message::Status,
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{StoreError, TenantTx, conversations, messages},
};

#[derive(Debug, Serialize, Deserialize)]
pub struct IngestMessage {
    pub tenant: TenantId,
    pub conversation: ConversationId,
    pub message: MessageId,
}

impl Job for IngestMessage {
    type Scope = TenantTx;

    const KIND: &'static str = "ingest_message";
    const LANE: Lane = Lane { slots: 32, priority: 5 };
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
        let mut done = context.finish_at_commit::<TenantTx>().await?;
        let Some(conversation) = conversations::lock(done.tx(), self.conversation).await? else {
            // Erased since it was accepted; there is nobody to answer.
            return done.commit().await;
        };
        match messages::mark_ingested(done.tx(), self.message).await? {
            Some(text) => {
                let (about, data) = (EventType::MessageReceived, json!({ "text": text }));
                emit(&mut done, NewEvent::about_message(about, self.message, self.conversation, data))?;
            }
            None => {
                let found = messages::find(done.tx(), self.message).await?;
                // It has ended, was erased, or is past its retention.
                if found.is_none_or(|found| found.status != Status::Queued) {
                    return done.commit().await;
                }
            }
        }
        turn::give_next(&mut done, &conversation).await?;
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, _: &str) -> Result<(), StoreError> {
        turn::fail(burial, envelope.subject, "ingest_failed", "The message could not be taken in.").await.map(drop)
    }
}
