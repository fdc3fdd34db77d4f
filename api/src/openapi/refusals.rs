//! The refusals that follow from an operation's shape, so that no route has to list them.

use utoipa::openapi::{
    ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    path::{Operation, ParameterIn},
    security::SecurityRequirement,
};

use crate::problem::Kind;

/// Adds to every operation what any of its kind may answer; what a route says itself stays.
pub fn add(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post, &mut item.delete, &mut item.put, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            for kind in of(operation) {
                let status = kind.status().as_u16().to_string();
                let response = RefOr::T(problem(kind));
                operation.responses.responses.entry(status).or_insert(response);
            }
        }
    }
}

fn of(operation: &Operation) -> Vec<Kind> {
    let mut kinds = vec![Kind::Internal, Kind::Unavailable];
    // An empty requirement means that the route is open to all.
    let open =
        operation.security.as_ref().is_some_and(|keys| keys.iter().all(|key| *key == SecurityRequirement::default()));
    if !open {
        kinds.extend([Kind::Unauthorized, Kind::TenantDisabled]);
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

fn problem(kind: Kind) -> Response {
    let schema = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(kind.description().trim())
        .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
        .build()
}
