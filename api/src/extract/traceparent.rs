//! `traceparent` (W3C Trace Context): joins a request and its jobs to one trace.

use std::{convert::Infallible, fmt};

use axum::{extract::FromRequestParts, http::request::Parts};
use uuid::Uuid;

/// The caller's trace, or a fresh one.
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
        let given = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        Ok(given.filter(|text| is_valid(text)).map_or_else(Self::generate, |text| Self(text.to_owned())))
    }
}

impl Traceparent {
    fn generate() -> Self {
        // The last 16 digits of a UUIDv7 are random but for two bits, which are never zero.
        let parent = Uuid::now_v7().simple().to_string();
        Self(format!("00-{}-{}-01", Uuid::now_v7().simple(), &parent[16..]))
    }
}

/// Version 00 only; later versions may be longer, and a fresh trace is no harm.
fn is_valid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts[..], ["00", trace, parent, flags]
        if hex(trace, 32) && !zero(trace) && hex(parent, 16) && !zero(parent) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_trace_is_taken_over() {
        assert!(is_valid("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for odd in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert!(!is_valid(odd), "{odd}");
        }
        assert!(is_valid(&Traceparent::generate().to_string()));
    }
}
