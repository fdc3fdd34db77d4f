//! Query parameters.

#![no_main]

use api::{extract::Query, routes::conversations::Parameters};
use axum::http::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let Ok(request) = Request::get(format!("/v1/conversations?{query}")).body(()) else { return };
    let _ = fuzz::extract::<Query<Parameters>>(request.into_parts().0);
});
