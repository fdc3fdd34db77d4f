//! Cross-origin requests: answered for the origins the operator lists, letter by letter, and for nobody else.

use std::str::FromStr;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::state::AppState;

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, last-event-id, prefer, traceparent, x-csrf-token, x-request-id",
);
/// What a script may read of an answer beyond the body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "idempotency-replayed, location, preference-applied, ratelimit, ratelimit-policy, retry-after, x-request-id",
);
/// Seconds for which a browser remembers a preflight.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const YES: HeaderValue = HeaderValue::from_static("true");

/// An origin as browsers send it: `https://shop.example`, with a port where it is not the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    pub fn is(&self, origin: &HeaderValue) -> bool {
        self.0 == origin
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not an origin such as https://shop.example");
        let (scheme, host) = text.split_once("://").ok_or_else(invalid)?;
        let plain = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte));
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match matches!(scheme, "https" | "http") && !host.is_empty() && plain(host) && lower {
            true => HeaderValue::from_str(text).map(Self).map_err(|_| invalid()),
            false => Err(invalid()),
        }
    }
}

/// Without listed origins this changes nothing.
pub async fn answer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if state.origins.is_empty() {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = origin.filter(|origin| state.origins.iter().any(|listed| listed.is(origin)));
    let mut response = match (&allowed, is_preflight(&request)) {
        (Some(_), true) => preflight(),
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    // A cache must not hand one origin's answer to another, nor to none.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, YES);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    (StatusCode::NO_CONTENT, headers).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for origin in ["https://shop.example", "http://localhost:3000", "https://[2001:db8::1]:8443"] {
            assert!(origin.parse::<Origin>().is_ok(), "{origin}");
        }
        for other in
            ["*", "null", "shop.example", "https://", "https://shop.example/", "https://*.example", "HTTPS://a"]
        {
            assert!(other.parse::<Origin>().is_err(), "{other}");
        }
    }
}
