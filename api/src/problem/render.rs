//! The middleware that writes problem documents.

use std::time::Duration;

use axum::{
    Json,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Document, Kind, Problem};
use crate::request_id::RequestId;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Gives every refusal its document: those of handlers, and those made below them in plain text.
pub async fn render(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_else(RequestId::generate);
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => document(problem, &id, response),
        None if is_bare_refusal(&response) => document(Problem::new(Kind::of_status(response.status())), &id, response),
        None => response,
    }
}

fn is_bare_refusal(response: &Response) -> bool {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    refused && !content_type.is_some_and(|value| value.contains("json"))
}

/// The document, under the headers of the response it replaces (`Allow`, say).
fn document(problem: Problem, id: &RequestId, response: Response) -> Response {
    let Problem { kind, detail, errors, extras, retry_after, cause } = problem;
    match cause {
        Some(cause) if kind == Kind::Internal => tracing::error!(cause, problem = kind.slug(), "request failed"),
        Some(cause) => tracing::warn!(cause, problem = kind.slug(), "request refused"),
        None => {}
    }
    let status = kind.status();
    let body = Json(Document {
        type_uri: kind.uri(),
        title: kind.title(),
        status: status.as_u16(),
        detail,
        request_id: id.to_string(),
        errors,
        extras: *extras,
    });
    let mut rendered = (status, body).into_response();
    for (name, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"metachat\"");
        rendered.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    if let Some(wait) = retry_after {
        rendered.headers_mut().insert(header::RETRY_AFTER, whole_seconds(wait).into());
    }
    rendered
}

/// Rounded up: whoever comes back then does not come too early.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}
