//! Delivers an event to one endpoint or callback URL.
//!
//! - **What:** posts the event, signed by Standard Webhooks 1.0, and records the attempt.
//! - **Who enqueues it:** `emit_event`, one per receiver.
//! - **Twice:** the receiver gets the same `webhook-id` again and can deduplicate on it.
//! - **Gives up:** after the configured attempts, or at once on an answer that says no (4xx other than 408, 425 and
//!   429). 410 also switches the endpoint off. At once as well when its secret does not open; one that is sealed with a key
//!   which this worker does not have is tried again.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tracing::{Instrument, Span, field};
use url::Url;
use uuid::Uuid;

use super::emit_event::emit;
use crate::{
    domain::{
        event::{self, NewEvent},
        ids::{EndpointId, EventId, MessageId, TenantId},
    },
    ports::{SendError, SignedRequest, WebhookReply},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{
        Scope, StoreError, TenantTx,
        webhooks::{self, Attempt, Delivery},
    },
    trace,
};

#[derive(Debug, Serialize, Deserialize)]
pub struct DeliverWebhook {
    pub tenant: TenantId,
    pub event: EventId,
    pub receiver: Receiver,
    /// The message, conversation or document the event is about.
    pub subject: Option<Uuid>,
}

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    Endpoint { endpoint: EndpointId },
    Callback { message: MessageId },
}

impl Job for DeliverWebhook {
    type Scope = TenantTx;

    const KIND: &'static str = "deliver_webhook";
    const LANE: Lane = Lane { slots: 64, priority: 5 };
    /// The attempts are an upper bound; the worker's configuration says how many are made.
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 20, base: Duration::from_secs(1), cap: Duration::from_secs(3600) };
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        match self.receiver {
            Receiver::Endpoint { endpoint } => format!("{}:{endpoint}", self.event),
            Receiver::Callback { .. } => format!("{}:callback", self.event),
        }
    }

    fn subject(&self) -> Option<Uuid> {
        self.subject
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let (mut tx, vault) = (context.tenant_tx().await?, &context.runtime.vault);
        let delivery = match self.receiver {
            Receiver::Endpoint { endpoint } => webhooks::to_endpoint(&mut tx, vault, self.event, endpoint).await?,
            Receiver::Callback { message } => webhooks::to_callback(&mut tx, vault, self.event, message).await?,
        };
        drop(tx);
        // Erased, deleted or switched off since: there is nothing to deliver or nobody to deliver to.
        let Some(Delivery { event, message, receiver }) = delivery else {
            return context.cancel().await;
        };
        let started = Instant::now();
        let span = span(context, &receiver);
        let request = request(&event, &receiver, context.traceparent(&span));
        let reply = context.engines().webhooks.send(request).instrument(span.clone()).await;
        let duration = started.elapsed();
        metrics::histogram!("metachat_webhook_seconds").record(duration.as_secs_f64());

        let verdict = Verdict::of(&reply);
        if let Ok(reply) = &reply {
            span.record("http.response.status_code", reply.status);
        }
        if verdict != Verdict::Delivered {
            span.record("error.type", verdict.label());
            trace::fail(&span);
        }
        drop(span);
        metrics::counter!("metachat_webhook_attempts_total", "outcome" => verdict.label()).increment(1);
        let record = self.record(context, message, &receiver.url, &reply, duration);
        if let Verdict::Delivered | Verdict::Gone = verdict {
            let mut done = context.finish_at_commit::<TenantTx>().await?;
            webhooks::record_attempt(done.tx(), &record).await?;
            if let (Verdict::Gone, Receiver::Endpoint { endpoint }) = (verdict, self.receiver) {
                let reason = "the endpoint answered 410 Gone";
                if webhooks::disable(done.tx(), endpoint, reason).await? {
                    emit(&mut done, NewEvent::endpoint_disabled(endpoint, reason))?;
                }
            }
            return done.commit().await;
        }
        // Outlives the failed run: every try stands in the log.
        let mut tx = context.tenant_tx().await?;
        webhooks::record_attempt(&mut tx, &record).await?;
        tx.commit().await?;
        let cause =
            record.error.map_or_else(|| format!("answered {}", record.status.unwrap_or_default()), str::to_owned);
        let after = reply.ok().and_then(|reply| reply.retry_after);
        Err(match (verdict, after) {
            (Verdict::Refused, _) => Failure::Abandon(cause),
            _ if context.attempt() >= context.runtime.webhook_attempts => Failure::Abandon(cause),
            (_, Some(after)) => Failure::RetryAfter { after, cause },
            (_, None) => Failure::Retry(cause),
        })
    }

    async fn give_up(_: &mut Completion<TenantTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::warn!(event = %envelope.payload["event"], cause, "event was not delivered");
        Ok(())
    }
}

impl DeliverWebhook {
    fn record<'a>(
        &self,
        context: &JobContext,
        message: Option<MessageId>,
        url: &'a str,
        reply: &'a Result<WebhookReply, SendError>,
        duration: Duration,
    ) -> Attempt<'a> {
        let (status, response, error) = match reply {
            Ok(reply) => (Some(i32::from(reply.status)), Some(reply.body.as_str()), None),
            Err(SendError::Refused(error) | SendError::Unreachable(error)) => (None, None, Some(error.as_str())),
        };
        let endpoint = match self.receiver {
            Receiver::Endpoint { endpoint } => Some(endpoint),
            Receiver::Callback { .. } => None,
        };
        Attempt {
            event: self.event,
            endpoint,
            message,
            url,
            number: context.attempt().cast_signed(),
            status,
            error,
            response,
            duration_ms: i32::try_from(duration.as_millis()).unwrap_or(i32::MAX),
        }
    }
}

/// The span of one POST. Of the address it tells the host: a path may hold a secret.
fn span(context: &JobContext, receiver: &webhooks::Receiver) -> Span {
    let host = || Url::parse(&receiver.url).ok().and_then(|url| url.host_str().map(str::to_owned));
    tracing::info_span!(
        target: trace::TARGET,
        "POST",
        "otel.kind" = "client",
        "otel.status_code" = field::Empty,
        "http.request.method" = "POST",
        "http.request.resend_count" = context.attempt() - 1,
        "http.response.status_code" = field::Empty,
        "server.address" = host(),
        "error.type" = field::Empty,
    )
}

fn request(event: &event::Envelope, receiver: &webhooks::Receiver, traceparent: Option<String>) -> SignedRequest {
    SignedRequest {
        url: receiver.url.clone(),
        id: event.id.to_string(),
        body: serde_json::to_string(event).expect("an event has no map with keys other than text"),
        secret: receiver.secret.clone(),
        traceparent,
    }
}

/// What an answer means for the delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Delivered,
    /// May pass later.
    Later,
    /// Will never be accepted.
    Refused,
    /// The endpoint wants nothing any more.
    Gone,
}

impl Verdict {
    fn of(reply: &Result<WebhookReply, SendError>) -> Self {
        match reply {
            Err(SendError::Unreachable(_)) => Self::Later,
            Err(SendError::Refused(_)) => Self::Refused,
            Ok(reply) => match reply.status {
                200..=299 => Self::Delivered,
                410 => Self::Gone,
                408 | 425 | 429 => Self::Later,
                400..=499 => Self::Refused,
                _ => Self::Later,
            },
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Later => "later",
            Self::Refused => "refused",
            Self::Gone => "gone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let reply = |status| Ok(WebhookReply { status, retry_after: None, body: String::new() });
        for (status, verdict) in [
            (204, Verdict::Delivered),
            (302, Verdict::Later),
            (404, Verdict::Refused),
            (410, Verdict::Gone),
            (429, Verdict::Later),
            (503, Verdict::Later),
        ] {
            assert_eq!(Verdict::of(&reply(status)), verdict, "{status}");
        }
        assert_eq!(Verdict::of(&Err(SendError::Refused(String::new()))), Verdict::Refused);
        assert_eq!(Verdict::of(&Err(SendError::Unreachable(String::new()))), Verdict::Later);
    }
}
