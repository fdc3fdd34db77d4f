//! The operator behind a request.

use axum::{extract::FromRequestParts, http::request::Parts};
use subtle::ConstantTimeEq;

use super::bearer;
use crate::{
    credentials,
    facts::Facts,
    problem::{Kind, Problem},
    state::AppState,
};

/// Proof that the request carries the admin key.
#[derive(Debug, Clone, Copy)]
pub struct Admin;

impl FromRequestParts<AppState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        // Hashes are compared, so that the time taken tells neither the key's length nor a common beginning.
        let presented = bearer(&parts.headers).map(credentials::hash);
        match presented.is_some_and(|hash| hash.ct_eq(&state.admin_hash).into()) {
            true => {
                Facts::of(&parts.extensions).vouch();
                Ok(Self)
            }
            false => Err(Problem::new(Kind::Unauthorized).detail("Send the admin key as `Authorization: Bearer …`.")),
        }
    }
}
