//! `Prefer: wait=N` (RFC 7240).

use std::{convert::Infallible, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::waiting::MAX_WAIT;

/// How long the client would rather wait than poll, at most [`MAX_WAIT`]. A preference that cannot be read is
/// ignored, as the RFC asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreferWait(pub Option<Duration>);

impl<S: Send + Sync> FromRequestParts<S> for PreferWait {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let headers = parts.headers.get_all("prefer");
        Ok(Self(headers.iter().filter_map(|value| value.to_str().ok()).find_map(wait)))
    }
}

fn wait(header: &str) -> Option<Duration> {
    header.split(',').find_map(|preference| {
        // Parameters after a semicolon belong to the preference and change nothing here.
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let seconds: u64 = value.trim().trim_matches('"').parse().ok()?;
        name.trim().eq_ignore_ascii_case("wait").then(|| Duration::from_secs(seconds).min(MAX_WAIT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_found_among_preferences() {
        for (header, seconds) in [
            ("wait=10", Some(10)),
            ("respond-async, Wait = 5", Some(5)),
            ("wait=\"7\"; strict", Some(7)),
            ("wait=0", Some(0)),
            ("wait=100000", Some(60)),
            ("wait", None),
            ("wait=-1", None),
            ("wait=soon", None),
            ("return=minimal", None),
            ("", None),
        ] {
            assert_eq!(wait(header), seconds.map(Duration::from_secs), "{header}");
        }
    }
}
