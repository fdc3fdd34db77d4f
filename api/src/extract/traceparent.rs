//! `traceparent` (W3C Trace Context): joins a request and its jobs to one trace.

use std::{convert::Infallible, fmt};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use jobs::trace;
use uuid::Uuid;

/// The trace that a request's jobs go on with: that of its span, the caller's, or a fresh one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent(String);

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Traceparent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let joined = parts.extensions.get().cloned();
        Ok(joined.unwrap_or_else(|| Self::or_fresh(Self::given(&parts.headers).map(str::to_owned))))
    }
}

impl Traceparent {
    /// The caller's, when it is valid.
    pub fn given(headers: &HeaderMap) -> Option<&str> {
        headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|text| trace::is_valid(text))
    }

    /// A trace that is known, or a fresh one that nobody records: it still tells in the log what belongs together.
    pub fn or_fresh(known: Option<String>) -> Self {
        Self(known.unwrap_or_else(|| {
            // The last 16 digits of a UUIDv7 are random but for two bits, which are never zero.
            let parent = Uuid::now_v7().simple().to_string();
            format!("00-{}-{}-00", Uuid::now_v7().simple(), &parent[16..])
        }))
    }

    /// The trace's id, as log lines tell it.
    pub fn id(&self) -> &str {
        trace::id(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    async fn of(traceparent: &str) -> Traceparent {
        let (mut parts, ()) = Request::builder().header("traceparent", traceparent).body(()).unwrap().into_parts();
        let Ok(extracted) = Traceparent::from_request_parts(&mut parts, &()).await;
        extracted
    }

    #[tokio::test]
    async fn a_valid_trace_is_taken_over_and_another_replaced() {
        let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(valid).await.to_string(), valid);
        let fresh = of("nonsense").await;
        assert!(trace::is_valid(&fresh.to_string()) && fresh.id().len() == 32, "{fresh}");
    }
}
