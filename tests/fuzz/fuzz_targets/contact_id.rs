//! A tenant's own id of its customer, in a path: percent-decoded, bounded, without a NUL.

#![no_main]

use api::extract::ContactId;
use axum::{Router, body::Body, http::Request, routing::get};
use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt;

async fn check(ContactId(id): ContactId) {
    assert!((1..=200).contains(&id.chars().count()) && !id.contains('\0'));
}

fuzz_target!(|path: &str| {
    let Ok(request) = Request::get(format!("/v1/contacts/{path}")).body(Body::empty()) else { return };
    let router = Router::new().route("/v1/contacts/{contact_id}", get(check));
    assert!(block_on(router.oneshot(request)).is_ok());
});
