//! A provider's failures to [`ModelError`].

use std::time::Duration;

use chrono::Utc;
use genai::Error;
use jobs::ports::ModelError;
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::engines::retry_after;

/// Characters kept of what a provider says about a failure.
const KEPT_REASON: usize = 300;

pub fn unavailable(reason: impl Into<String>) -> ModelError {
    ModelError::Unavailable { reason: reason.into(), after: None }
}

/// Whether to come back, and when: by the status and headers, or by the error inside a stream.
pub fn classify(error: &Error) -> ModelError {
    match error {
        Error::HttpError { status, body, headers, .. } => by_status(*status, body, headers),
        // The stream's first read does the request, and wraps what went wrong.
        Error::WebStream { error, cause, .. } => match error.downcast_ref::<Error>() {
            Some(inner) => classify(inner),
            None => unavailable(short(cause)),
        },
        Error::ChatResponse { body, .. } => by_code(body),
        other => match (other.status(), other.headers()) {
            (Some(status), Some(headers)) => by_status(status, &other.to_string(), headers),
            _ => unavailable(short(&other.to_string())),
        },
    }
}

fn by_status(status: StatusCode, body: &str, headers: &HeaderMap) -> ModelError {
    let said: Value = serde_json::from_str(body).unwrap_or_default();
    let error = said.get("error").unwrap_or(&said);
    let message = error.get("message").and_then(Value::as_str).unwrap_or(body);
    let reason = format!("{} {}", status.as_u16(), short(message)).trim().to_owned();
    let passing = status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 425 | 429);
    match passing && !is_out_of_credit(error) {
        true => ModelError::Unavailable { reason, after: wait(headers) },
        false => ModelError::Refused(reason),
    }
}

/// An error event in a stream that began well, as OpenAI and compatible servers send it.
fn by_code(error: &Value) -> ModelError {
    let message = error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned);
    let kind = error.get("type").or_else(|| error.get("code")).and_then(Value::as_str).unwrap_or_default();
    match kind.contains("invalid_request") || kind.contains("content_policy") || is_out_of_credit(error) {
        true => ModelError::Refused(short(&message)),
        false => unavailable(short(&message)),
    }
}

/// OpenAI answers 429 when the account has no credit left, which waiting does not cure.
fn is_out_of_credit(error: &Value) -> bool {
    error.get("code").and_then(Value::as_str) == Some("insufficient_quota")
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let exact = text("retry-after-ms").and_then(|value| value.trim().parse().ok()).map(Duration::from_millis);
    exact.or_else(|| retry_after::parse(text("retry-after"), Utc::now()))
}

fn short(text: &str) -> String {
    text.chars().take(KEPT_REASON).collect::<String>().trim().to_owned()
}
