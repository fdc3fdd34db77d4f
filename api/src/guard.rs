//! What stands between every handler and the world: a time limit, a net for panics, and security headers.

use std::{any::Any, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    facts::Facts,
    https,
    problem::{Kind, Problem},
};

/// Longest a handler may take to begin its answer; a long-poll waits 60 s. A stream's body is not counted.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

/// For all but the API's description: nothing is loaded, nothing may frame it.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// Swagger UI brings its scripts along and styles itself inline.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; frame-ancestors 'none'";

pub async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Kind::Timeout).retry_after(Duration::from_secs(1)).into_response(),
    }
}

/// A panic is this request's alone.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Problem::new(Kind::Internal).cause(format!("panicked: {message}")).into_response()
}

pub async fn secure(request: Request, next: Next) -> Response {
    let docs = request.uri().path().starts_with("/docs");
    let private = !docs && request.uri().path() != "/openapi.json";
    let facts = Facts::of(request.extensions());
    let mut response = next.run(request).await;
    https::mark(&facts, &mut response);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CONTENT_SECURITY_POLICY, if docs { DOCS_POLICY } else { POLICY });
    if private {
        set(header::CACHE_CONTROL, "no-store");
    }
    response
}
