//! The refusals that follow from an operation's shape, so that no route has to list them.

use std::collections::BTreeMap;

use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, ParameterIn},
};

use super::{ADMIN_KEY, access};
use crate::problem::Kind;

/// Adds to every operation what any of its kind may answer; what a route says itself stays.
pub fn add(document: &mut OpenApi) {
    for (operation, changes) in access::operations(document) {
        let mut meanings = BTreeMap::<String, Vec<&str>>::new();
        for kind in of(operation, changes) {
            let meanings = meanings.entry(kind.status().as_u16().to_string()).or_default();
            if !meanings.contains(&kind.description().trim()) {
                meanings.push(kind.description().trim());
            }
        }
        for (status, meanings) in meanings {
            let response = RefOr::T(problem(&meanings.join(" ")));
            operation.responses.responses.entry(status).or_insert(response);
        }
    }
}

fn of(operation: &Operation, changes: bool) -> Vec<Kind> {
    let mut kinds = vec![Kind::Internal, Kind::Unavailable];
    let asked = access::asked(operation);
    let open = asked.is_empty();
    if !open {
        kinds.push(Kind::Unauthorized);
    }
    if !open && asked.iter().all(|(scheme, _)| scheme != ADMIN_KEY) {
        kinds.push(Kind::TenantDisabled);
        if changes {
            kinds.push(Kind::Csrf);
        }
    }
    if asked.iter().any(|(_, scopes)| !scopes.is_empty()) {
        kinds.push(Kind::InsufficientScope);
    }
    if operation.request_body.is_some() {
        kinds.extend([Kind::MalformedJson, Kind::PayloadTooLarge]);
        if !open {
            kinds.extend([Kind::UnsupportedMediaType, Kind::InvalidRequest]);
        }
    }
    for parameter in operation.parameters.iter().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        kinds.push(match parameter.parameter_in {
            ParameterIn::Path => Kind::NotFound,
            // An open route has a signature for a header, which is refused in its own way.
            _ if open => continue,
            _ => Kind::InvalidRequest,
        });
    }
    kinds
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build()
}
