//! Messages: submitted, then read until they are final.

mod answer;

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{CALL_TIMEOUT, Client, ClientError};
pub use answer::{Answer, Confidence, Message, Source, Timeline, TimelineEntry, Usage};

/// The longest wait asked for in one long-poll.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Keeps a server that ignores `wait` from being polled in a tight loop.
const POLL_PAUSE: Duration = Duration::from_millis(50);

/// The body and headers of `POST /v1/messages`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Submission {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<Contact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// Travels as `Idempotency-Key`.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
    /// Travels as `traceparent`.
    #[serde(skip)]
    pub traceparent: Option<String>,
    /// Travels as `Prefer: wait=N`, in whole seconds.
    #[serde(skip)]
    pub wait: Option<Duration>,
}

impl Submission {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contact {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// 202 with a queued message, or 200 with an answered one when `Prefer: wait` was honoured in time.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub status: u16,
    pub headers: HeaderMap,
    pub message: Message,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    Queued,
    Retrieving,
    Completing,
    Scoring,
    Answered,
    Withheld,
    Escalated,
    Failed,
    Cancelled,
    #[default]
    #[serde(other)]
    Unknown,
}

impl MessageStatus {
    /// True when the message will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Answered | Self::Withheld | Self::Escalated | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for MessageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Queued => "queued",
            Self::Retrieving => "retrieving",
            Self::Completing => "completing",
            Self::Scoring => "scoring",
            Self::Answered => "answered",
            Self::Withheld => "withheld",
            Self::Escalated => "escalated",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        })
    }
}

impl Client {
    pub async fn submit(&self, submission: &Submission) -> Result<Submitted, ClientError> {
        let mut request = self.request(Method::POST, "/v1/messages").json(submission);
        if let Some(key) = &submission.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(traceparent) = &submission.traceparent {
            request = request.header("traceparent", traceparent);
        }
        if let Some(wait) = submission.wait {
            let prefer = format!("wait={}", wait.as_secs());
            request = request.header("prefer", prefer).timeout(CALL_TIMEOUT + wait);
        }
        let reply = self.send(request).await?;
        let (status, headers) = (reply.status, reply.headers.clone());
        Ok(Submitted { status, headers, message: reply.parse()? })
    }

    /// Reads a message; with a wait, the API holds the call until the message is final or the wait (whole seconds) is over.
    pub async fn message(&self, id: &str, wait: Option<Duration>) -> Result<Message, ClientError> {
        let wait = wait.unwrap_or_default();
        let path = match wait.as_secs() {
            0 => format!("/v1/messages/{id}"),
            seconds => format!("/v1/messages/{id}?wait={seconds}"),
        };
        let request = self.request(Method::GET, &path).timeout(CALL_TIMEOUT + wait);
        self.send(request).await?.parse()
    }

    /// Long-polls until the message is final.
    pub async fn final_message(&self, id: &str, limit: Duration) -> Result<Message, ClientError> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.message(id, Some(left.min(LONGEST_WAIT))).await?;
            if message.status.is_final() {
                return Ok(message);
            }
            if Instant::now() >= deadline {
                let what = format!("message {id} was still {}", message.status);
                return Err(ClientError::TooLate { what, limit });
            }
            sleep(POLL_PAUSE).await;
        }
    }

    pub async fn timeline(&self, id: &str) -> Result<Timeline, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/messages/{id}/timeline"));
        self.send(request).await?.parse()
    }
}
