//! What handlers take from a request, each refusing with a problem.

pub mod csrf;
pub mod scope;

mod admin;
mod caller;
mod client_address;
mod contact_id;
mod json;
mod keyed;
mod member;
mod path_id;
mod prefer;
mod query;
mod reason;
mod traceparent;

pub use admin::Admin;
pub use caller::Caller;
pub use client_address::ClientAddress;
pub use contact_id::ContactId;
pub use json::{Json, is_json};
pub use keyed::{KeyHeader, Keyed, NoBody, Watched};
pub use member::Member;
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
