//! `Idempotency-Key`: what is accepted is what the description's pattern and lengths allow.

#![no_main]

use api::extract::Watched;
use axum::{body::Body, http::Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(parts) = fuzz::head("idempotency-key", data) else { return };
    let accepted = Watched::begin(Request::from_parts(parts, Body::empty())).is_ok();
    let allowed = (1..=255).contains(&data.len()) && data.iter().all(|byte| (b' '..=b'~').contains(byte));
    assert_eq!(accepted, allowed);
});
