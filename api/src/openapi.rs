//! The API's description, generated from the routes.

mod access;
mod parameters;
mod refusals;
pub mod schemas;

use std::collections::HashSet;

use axum::http::Method;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};

use crate::{
    problem::{FieldError, Kind},
    router,
};

/// Names of what lets a request in.
const TENANT_KEY: &str = "tenant_key";
const ADMIN_KEY: &str = "admin_key";
const SESSION: &str = "console_session";

#[derive(OpenApi)]
#[openapi(
    info(title = "metachat", license(name = "Apache-2.0")),
    components(schemas(crate::problem::Document, FieldError)),
    modifiers(&Keys, &Introduction),
    tags(
        (name = "operator", description = "What belongs to no tenant."),
        (name = "tenants", description = "Owners of everything else."),
        (name = "access", description = "Keys, people and their log-ins, and who changed what."),
        (name = "documents", description = "The knowledge that answers rest on."),
        (name = "messages", description = "A customer's question in, a sourced and scored answer out."),
        (name = "conversations", description = "Transcripts."),
        (name = "data", description = "Taking it away, and having it erased."),
        (name = "channels", description = "Accounts at providers where customers write."),
        (name = "search", description = "Retrieval without an answer."),
        (name = "events", description = "What happened, and who is told."),
        (name = "jobs", description = "Work that gave up: run again or discarded."),
        (name = "billing", description = "Usage and Stripe."),
        (name = "logs", description = "A tenant's own requests."),
        (name = "operations", description = "Probes and metrics."),
    )
)]
pub struct Base;

/// The description of every route.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = router::routes().into_openapi();
    access::admit_sessions(&mut document);
    parameters::narrow(&mut document);
    refusals::add(&mut document);
    document
}

/// Operations that a credential must come with, by method and path.
pub fn keyed_operations() -> HashSet<(Method, String)> {
    let document = document();
    let operations = document.paths.paths.iter().flat_map(|(path, item)| {
        let methods = [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        methods.into_iter().filter_map(move |(method, operation)| {
            let keyed = operation.as_ref().is_some_and(|operation| !refusals::is_open(operation));
            keyed.then(|| (method, path.clone()))
        })
    });
    operations.collect()
}

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description(
            "__Host-metachat-session",
            "The cookie of a person who logged in at `POST /v1/session`. Without COOKIE_SECURE its name lacks `__Host-`. \
             Changing requests send the session's `csrf_token` as `X-CSRF-Token`.",
        );
        components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        for (name, description) in [
            (TENANT_KEY, "A tenant's key, `mk_live_…`, with the scope listed; `admin` implies all others."),
            (ADMIN_KEY, "The operator's key, `mk_admin_…`."),
        ] {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(description.to_owned());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

struct Introduction;

impl Modify for Introduction {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut text = String::from(
            "Ids carry a prefix that tells what they name (`msg_`, `conv_`, …). Times are UTC. Lists go by cursor: send \
             `next_cursor` back as `cursor`.\n\n\
             A tenant may make as many requests a minute as its plan says, all at once or spread; one key may use 80 % of \
             them, and submissions have a limit of their own. Requests without a valid key are held by address. \
             `RateLimit-Policy` and `RateLimit` tell where each limit stands; a refusal is 429 with `Retry-After` and has \
             changed nothing. While the limits' store is away each process allows a part of every limit, by default half. \
             Calls a month end with 402; reading usage is no call. When too much work waits, what adds some is answered \
             503 with `Retry-After` before it is accepted.\n\nEvery refusal is an RFC 9457 problem document with a stable `type`:\n\n\
             | type | status | meaning |\n|---|---|---|\n",
        );
        for kind in Kind::ALL {
            text.push_str(&format!(
                "| `{}` | {} | {} |\n",
                kind.uri(),
                kind.status().as_u16(),
                kind.description().trim()
            ));
        }
        document.info.description = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_tag_an_id_and_a_refusal() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() >= 20, "{}", paths.len());
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(operation["operationId"].is_string(), "{method} {path}");
                assert!(operation["tags"][0].is_string(), "{method} {path}");
                assert!(operation["responses"]["500"].is_object(), "{method} {path}");
            }
        }
    }
}
