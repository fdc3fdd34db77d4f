//! One delivery and the verdict on its signature.

use std::collections::HashMap;
use std::fmt;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde_json::Value;
use standardwebhooks::{HEADER_WEBHOOK_ID, Webhook};

#[derive(Clone, Debug)]
pub struct Delivery {
    /// The `webhook-id` header: the same for every attempt at one event. Empty when the sender left it out.
    pub id: String,
    /// The body's `type`.
    pub event_type: String,
    /// Null when the body is not JSON.
    pub body: Value,
    pub headers: HeaderMap,
    pub at: DateTime<Utc>,
    pub signature: Signature,
    /// What it was answered with.
    pub status: u16,
    /// 1 for the first delivery of this id.
    pub attempt: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// No secret was known.
    Unchecked,
    Valid,
    /// With the reason.
    Invalid(String),
}

impl Signature {
    /// Follows Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body, at most five minutes off.
    pub(super) fn check(secret: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Self {
        let Some(secret) = secret else {
            return Self::Unchecked;
        };
        match Webhook::new(secret).and_then(|webhook| webhook.verify(body, headers)) {
            Ok(()) => Self::Valid,
            Err(error) => Self::Invalid(error.to_string()),
        }
    }
}

impl Delivery {
    /// Counts the delivery among the attempts at its id.
    pub(super) fn new(
        at: DateTime<Utc>,
        headers: HeaderMap,
        body: &[u8],
        signature: Signature,
        status: u16,
        attempts: &mut HashMap<String, usize>,
    ) -> Self {
        let id = headers.get(HEADER_WEBHOOK_ID).and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let attempt = attempts.entry(id.clone()).or_default();
        *attempt += 1;
        Self {
            event_type: body["type"].as_str().unwrap_or_default().to_owned(),
            attempt: *attempt,
            id,
            body,
            headers,
            at,
            signature,
            status,
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => f.write_str("signature not checked"),
            Self::Valid => f.write_str("signature valid"),
            Self::Invalid(reason) => write!(f, "signature INVALID: {reason}"),
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, event_type, signature, status, attempt, .. } = self;
        let at = self.at.format("%H:%M:%S%.3f");
        write!(f, "{at}  {event_type:<24} {id}  attempt {attempt}  {signature}  answered {status}")
    }
}
