//! What handlers take from a request, each refusing with a problem.

mod admin;
mod caller;
mod contact_id;
mod idempotency_key;
mod json;
mod path_id;
mod prefer;
mod query;
mod reason;
mod traceparent;

pub use admin::Admin;
pub use caller::Caller;
pub use contact_id::ContactId;
pub use idempotency_key::IdempotencyKey;
pub use json::{Json, RawJson, is_json};
pub use path_id::PathId;
pub use prefer::PreferWait;
pub use query::Query;
pub use traceparent::Traceparent;

use axum::http::{HeaderMap, header};

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
