//! JSON bodies: what is accepted holds no NUL, which Postgres cannot store, whatever the route makes of it.

#![no_main]

use api::{extract::Json, routes::messages::submit::Submission};
use axum::{body::Body, extract::FromRequest, http::Request};
use futures::executor::block_on;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn request(data: &[u8]) -> Request<Body> {
    let request = Request::post("/").header("content-type", "application/json");
    request.body(Body::from(data.to_vec())).expect("a request")
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, member)| name.contains('\0') || has_nul(member)),
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    let json = block_on(Json::<Value>::from_request(request(data), &()));
    if let Ok(Json(value)) = &json {
        assert!(!has_nul(value));
    }
    if block_on(Json::<Submission>::from_request(request(data), &())).is_ok() {
        assert!(json.is_ok());
    }
});
