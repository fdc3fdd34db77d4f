//! Delivery of events to the outside by HTTP.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

/// A request signed by Standard Webhooks 1.0 when it is sent.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    pub url: String,
    /// `webhook-id`: the event's id, the same at every attempt.
    pub id: String,
    pub body: String,
    /// `whsec_…`
    pub secret: SecretString,
    /// The trace of the call, told to the receiver.
    pub traceparent: Option<String>,
}

#[derive(Debug, Clone)]
pub struct WebhookReply {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// The first 2 KiB.
    pub body: String,
}

/// Why no reply came.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// The egress policy refuses the address.
    #[error("refused address: {0}")]
    Refused(String),
    /// Network failure or time-out.
    #[error("{0}")]
    Unreachable(String),
}

#[async_trait]
pub trait WebhookSender: Send + Sync {
    /// Posts the request once, follows no redirect and gives up after the configured time-out.
    async fn send(&self, request: SignedRequest) -> Result<WebhookReply, SendError>;
}
