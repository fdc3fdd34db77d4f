//! `Idempotency-Key`.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::problem::Problem;

/// Longest key, in characters.
const MAX_CHARS: usize = 255;

/// The key of a request that may be sent again.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let key = header.to_str().ok().filter(|key| (1..=MAX_CHARS).contains(&key.len()));
        match key {
            Some(key) => Ok(Self(Some(key.to_owned()))),
            None => {
                Err(Problem::field("Idempotency-Key", format!("must have 1 to {MAX_CHARS} visible ASCII characters")))
            }
        }
    }
}
