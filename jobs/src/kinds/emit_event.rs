//! Carries an event from the outbox to those who want it.
//!
//! - **What:** decides who receives the event and adds one delivery for each.
//! - **Who enqueues it:** [`emit`], in the transaction that writes the event, when an endpoint wants it by then or it may go to a
//!   message's callback.
//! - **Twice:** the second run finds its job finished and adds nothing.
//! - **Gives up:** the event stays in the outbox and in `GET /v1/events`; its deliveries are replayed with the job.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::deliver_webhook::{DeliverWebhook, Receiver};
use crate::{
    domain::{
        event::{EventType, NewEvent},
        ids::{EventId, TenantId},
    },
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, Work},
    store::{
        Scope, StoreError, TenantTx,
        events::{self, Audience},
    },
};

/// Writes an event into the outbox of the transaction's tenant, with the job that carries it on if anybody may want it.
pub fn emit(work: &mut Work<TenantTx>, event: NewEvent) -> Result<(), StoreError> {
    let tenant = work.tx().tenant();
    emit_for(work, tenant, event)
}

/// As [`emit`], for a tenant found out in a transaction of the platform.
pub(super) fn emit_for<S: Scope>(work: &mut Work<S>, tenant: TenantId, event: NewEvent) -> Result<(), StoreError> {
    work.count(metrics::counter!("metachat_events_total", "type" => event.event_type.as_str()));
    let carrier = EmitEvent { tenant, event: event.id, subject: event.subject };
    work.report(tenant, event, &carrier)
}

#[derive(Debug, Serialize, Deserialize)]
pub struct EmitEvent {
    pub tenant: TenantId,
    pub event: EventId,
    /// The message, conversation or document the event is about.
    pub subject: Option<Uuid>,
}

impl Job for EmitEvent {
    type Scope = TenantTx;

    const KIND: &'static str = "emit_event";
    const LANE: Lane = Lane { slots: 32, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 10, base: Duration::from_millis(500), cap: Duration::from_secs(300) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        self.event.to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        self.subject
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut tx = context.tenant_tx().await?;
        let audience = events::audience(&mut tx, self.event, self.subject).await?;
        drop(tx);
        let Some(Audience { event_type, callback, endpoints }) = audience else {
            // Erased with its tenant or contact.
            return context.cancel().await;
        };
        let mut receivers: Vec<_> = endpoints.into_iter().map(|endpoint| Receiver::Endpoint { endpoint }).collect();
        if let Some(message) = callback
            && EventType::parse(&event_type).is_some_and(EventType::reaches_callback)
        {
            receivers.push(Receiver::Callback { message });
        }
        let Self { tenant, event, subject } = *self;
        let deliveries: Vec<_> =
            receivers.into_iter().map(|receiver| DeliverWebhook { tenant, event, receiver, subject }).collect();
        context.finish_enqueuing(&deliveries).await
    }

    async fn give_up(_: &mut Completion<TenantTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(event = %envelope.payload["event"], cause, "event was not carried on");
        Ok(())
    }
}
