//! The middleware of the rate limits: holds those whom no credential answers for, and writes the headers.

use std::{collections::HashSet, sync::LazyLock};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::headers;
use crate::{facts::Facts, openapi, routes::probes, state::AppState};

/// Stripe sends bursts from few addresses: an event whose signature is right is not held.
const STRIPE: &str = "/webhooks/stripe";

/// Operations that need a credential.
static KEYED: LazyLock<HashSet<(Method, String)>> = LazyLock::new(openapi::keyed_operations);

/// Who answers for a request.
enum Account {
    /// Nobody has to.
    Probe,
    /// Its credential, which the handler's extractor charges; its address when no credential is valid.
    Credential,
    /// Its address, before it is worked on.
    Address,
}

impl Account {
    fn of(request: &Request) -> Self {
        let Some(route) = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str) else {
            return Self::Address;
        };
        let method = match request.method() {
            &Method::HEAD => Method::GET,
            method => method.clone(),
        };
        match probes::PATHS.contains(&route) {
            true => Self::Probe,
            false if route == STRIPE || KEYED.contains(&(method, route.to_owned())) => Self::Credential,
            false => Self::Address,
        }
    }
}

pub async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let facts = Facts::of(request.extensions());
    let mut response = match Account::of(&request) {
        Account::Probe => return next.run(request).await,
        Account::Address => match state.limits.charge_address(&facts).await {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
        Account::Credential => {
            let response = next.run(request).await;
            // A failure of ours is not the client's.
            let charged = match facts.is_accounted() || response.status().is_server_error() {
                true => Ok(()),
                false => state.limits.charge_address(&facts).await,
            };
            charged.map_or_else(IntoResponse::into_response, |()| response)
        }
    };
    headers::write(response.headers_mut(), &facts.standings());
    response
}
