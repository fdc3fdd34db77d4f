//! The refusals that follow from an operation's shape, so that no route has to list them, and what all answers share.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::json;
use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    example::{Example, ExampleBuilder},
    path::{Operation, ParameterIn},
    schema::{ObjectBuilder, SchemaType, Type},
};

use super::{ADMIN_KEY, access};
use crate::{problem::Kind, routes::probes};

const DOCUMENT: &str = "application/problem+json";

/// Adds to every operation what any of its kind may answer; what a route says itself stays, with an example for each
/// problem of its status.
pub fn add(document: &mut OpenApi) {
    define(document);
    for (path, item) in &mut document.paths.paths {
        let probe = probes::PATHS.contains(&path.as_str());
        let changing = [&mut item.delete, &mut item.put, &mut item.patch];
        for operation in item.get.iter_mut() {
            describe(operation, of(operation, probe, Method::Get));
        }
        for operation in item.post.iter_mut() {
            describe(operation, of(operation, probe, Method::Post));
        }
        for operation in changing.into_iter().flatten() {
            describe(operation, of(operation, probe, Method::Other));
        }
    }
}

fn describe(operation: &mut Operation, kinds: Vec<Kind>) {
    let limited = kinds.contains(&Kind::RateLimited);
    let once = kinds.contains(&Kind::IdempotencyInFlight);
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in kinds {
        by_status.entry(kind.status().as_u16()).or_default().push(kind);
    }
    let responses = &mut operation.responses.responses;
    let conflicts = responses.contains_key("409");
    for (status, kinds) in &by_status {
        responses.entry(status.to_string()).or_insert_with(|| RefOr::T(refusal(kinds)));
    }
    for (status, response) in responses.iter_mut() {
        let RefOr::T(response) = response else { continue };
        let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default();
        if let Some(RefOr::T(content)) = response.content.get_mut(DOCUMENT) {
            let mut known = by_status.get(&status.as_u16()).cloned().unwrap_or_default();
            if once && conflicts && status == StatusCode::CONFLICT {
                response.description.push_str(" Or the first request with this Idempotency-Key has not finished.");
                known.clear();
            }
            exemplify(content, if known.is_empty() { of_status(status) } else { known });
        }
        if limited && (status.is_success() || status == StatusCode::TOO_MANY_REQUESTS) {
            refer(response, "RateLimit-Policy");
            refer(response, "RateLimit");
        }
        if once && status.is_success() {
            refer(response, "Idempotency-Replayed");
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            refer(response, "Retry-After");
        }
    }
}

/// As far as refusals depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    Other,
}

/// Whether nobody has to prove who they are.
pub fn is_open(operation: &Operation) -> bool {
    access::asked(operation).is_empty()
}

fn of(operation: &Operation, probe: bool, method: Method) -> Vec<Kind> {
    if probe {
        return vec![Kind::Internal];
    }
    let mut kinds = vec![Kind::Internal, Kind::Unavailable, Kind::Timeout, Kind::RateLimited, Kind::HttpsRequired];
    let asked = access::asked(operation);
    let open = asked.is_empty();
    if !open {
        kinds.push(Kind::Unauthorized);
        if method == Method::Post {
            kinds.push(Kind::Overloaded);
        }
        if asked.iter().all(|(scheme, _)| scheme != ADMIN_KEY) {
            kinds.extend([Kind::TenantDisabled, Kind::PlanLimit]);
            if method != Method::Get {
                kinds.push(Kind::Csrf);
            }
        }
    }
    if asked.iter().any(|(_, scopes)| !scopes.is_empty()) {
        kinds.push(Kind::InsufficientScope);
    }
    if operation.request_body.is_some() {
        kinds.extend([Kind::MalformedJson, Kind::PayloadTooLarge, Kind::SlowBody]);
        if !open {
            kinds.extend([Kind::MalformedRequest, Kind::UnsupportedMediaType, Kind::InvalidRequest]);
        }
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.name == "Idempotency-Key" {
            kinds.extend([Kind::IdempotencyInFlight, Kind::IdempotencyMismatch]);
        }
        kinds.push(match parameter.parameter_in {
            ParameterIn::Path => Kind::NotFound,
            // An open route has a signature for a header, which is refused in its own way.
            _ if open => continue,
            _ => Kind::InvalidRequest,
        });
    }
    kinds
}

/// For a refusal that only the route itself knows of.
fn of_status(status: StatusCode) -> Vec<Kind> {
    Kind::ALL.iter().copied().filter(|kind| kind.status() == status).collect()
}

fn refusal(kinds: &[Kind]) -> Response {
    let mut descriptions: Vec<&str> = Vec::new();
    for kind in kinds {
        if !descriptions.contains(&kind.description().trim()) {
            descriptions.push(kind.description().trim());
        }
    }
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(descriptions.join(" "))
        .content(DOCUMENT, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

/// Shows one problem of each kind.
fn exemplify(content: &mut Content, kinds: Vec<Kind>) {
    if content.example.is_some() || !content.examples.is_empty() {
        return;
    }
    for kind in kinds {
        let defined = Ref::new(format!("#/components/examples/{}", kind.slug()));
        content.examples.insert(kind.slug().to_owned(), RefOr::Ref(defined));
    }
}

fn example(kind: Kind) -> Example {
    let mut problem = json!({
        "type": kind.uri(),
        "title": kind.title(),
        "status": kind.status().as_u16(),
        "request_id": "req_01983f2ab3c47d1e9f00a1b2c3d4e5f6",
    });
    match kind {
        Kind::InvalidRequest => {
            problem["detail"] = json!("text: has 0 characters; 1 to 4096 are allowed");
            problem["errors"] = json!([{ "field": "text", "detail": "has 0 characters; 1 to 4096 are allowed" }]);
        }
        Kind::PlanLimit => {
            problem["detail"] = json!("The plan allows 5000 api_calls; 5000 are used.");
            (problem["meter"], problem["limit"], problem["current"]) = (json!("api_calls"), json!(5000), json!(5000));
        }
        Kind::RateLimited => problem["violated-policies"] = json!(["key"]),
        Kind::Overloaded => problem["reason"] = json!("backlog"),
        _ => {}
    }
    ExampleBuilder::new().summary(kind.title()).value(Some(problem)).build()
}

/// Headers that answers refer to.
const HEADERS: [(&str, &str, &str); 4] = [
    (
        "RateLimit-Policy",
        "The limits that apply: `q` requests in `w` seconds.",
        "\"tenant\";q=120;w=60, \"key\";q=96;w=60",
    ),
    (
        "RateLimit",
        "Where each stands: `r` requests left, full again after `t` seconds.",
        "\"tenant\";r=118;t=1, \"key\";r=94;t=2",
    ),
    ("Idempotency-Replayed", "`true`: this is the first response again, and nothing was changed.", "true"),
    ("Retry-After", "Seconds until the same request may pass.", "1"),
];

/// What operations refer to, once.
fn define(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for kind in Kind::ALL {
        components.examples.insert(kind.slug().to_owned(), RefOr::T(example(*kind)));
    }
    for (name, description, example) in HEADERS {
        let schema = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).examples([json!(example)]).build();
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build();
        components.headers.insert(name.to_owned(), RefOr::T(header));
    }
}

fn refer(response: &mut Response, header: &str) {
    let defined = Ref::new(format!("#/components/headers/{header}"));
    response.headers.insert(header.to_owned(), RefOr::Ref(defined));
}
