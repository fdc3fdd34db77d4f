//! What can go wrong between asking and being answered.

use std::fmt;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered, or not in time.
    #[error("{call} got no answer; is the API running?")]
    Transport { call: String, source: reqwest::Error },

    /// The API answered with a status that is not a success.
    #[error("{call} was refused with {status}: {problem}")]
    Refused { call: String, status: u16, problem: Box<Problem>, retry_after: Option<Duration> },

    /// The API answered with something outside the contract.
    #[error("{call} was answered with something unexpected")]
    Malformed { call: String, source: serde_json::Error },

    /// The API kept answering, but what was waited for did not come.
    #[error("{what} after {} s of waiting", limit.as_secs())]
    TooLate { what: String, limit: Duration },
}

impl ClientError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The problem document of a refusal.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn refused(call: String, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after =
            headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        Self::Refused { call, status, problem: Box::new(Problem::read(body)), retry_after }
    }
}

/// An RFC 9457 problem document; members beyond the standard ones are in `more`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub detail: Option<String>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// A body that is no problem document becomes the detail, so that it is seen rather than lost.
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            Self {
                title: "not a problem document".into(),
                detail: Some(text.chars().take(300).collect()),
                ..Self::default()
            }
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        match &self.detail {
            Some(detail) if !detail.is_empty() => write!(f, " ({detail})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_carries_its_problem() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let body = br#"{"type":"/problems/plan-limit","title":"Plan limit","detail":"100 messages","limit":100}"#;

        let error = ClientError::refused("POST /v1/messages".into(), 402, &headers, body);

        assert_eq!(error.status(), Some(402));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.problem().unwrap().more["limit"], 100);
        assert_eq!(error.to_string(), "POST /v1/messages was refused with 402: Plan limit (100 messages)");
    }

    #[test]
    fn a_body_that_is_no_problem_is_shown() {
        let error = ClientError::refused("GET /".into(), 502, &HeaderMap::new(), b"Bad Gateway");
        assert_eq!(error.problem().unwrap().detail.as_deref(), Some("Bad Gateway"));
    }
}
