//! `X-Request-Id`: what is sent back and logged is visible and short, whatever came.

#![no_main]

use api::request_id::RequestId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(parts) = fuzz::head("x-request-id", data) else { return };
    let id = RequestId::of(&parts.headers);
    assert!((1..=128).contains(&id.to_string().len()));
    assert!(id.to_string().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
    assert_eq!(id.header_value().as_bytes(), id.to_string().as_bytes());
});
