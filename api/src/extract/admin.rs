//! The operator behind a request.

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::domain::audit::Actor;
use subtle::ConstantTimeEq;

use super::bearer;
use crate::{
    credentials,
    facts::Facts,
    identity::Author,
    last_used,
    problem::{Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Proof that the request carries a key of the operator: the environment's, or one kept in Postgres. A tenant's key is of
/// another audience and opens nothing here.
#[derive(Debug, Clone, Copy)]
pub struct Admin {
    actor: Actor,
}

impl Admin {
    /// For the audit log.
    pub fn author(self, request: RequestId) -> Author {
        Author { actor: self.actor, request }
    }
}

impl FromRequestParts<AppState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let refused =
            || Problem::new(Kind::Unauthorized).detail("Send an operator's key as `Authorization: Bearer …`.");
        let key = bearer(&parts.headers).ok_or_else(refused)?;
        // Hashes are compared, so that the time taken tells neither the key's length nor a common beginning.
        let presented = credentials::hash(key);
        if state.admin_hash.is_some_and(|hash| presented.ct_eq(&hash).into()) {
            Facts::of(&parts.extensions).vouch();
            return Ok(Self { actor: Actor::Operator(None) });
        }
        let hash = credentials::hash_of_key(key, credentials::OPERATOR_PREFIX).ok_or_else(refused)?;
        let opened = state.keys.operator(hash).await?.ok_or_else(refused)?;
        Facts::of(&parts.extensions).vouch();
        state.last_used.note(last_used::Credential::Operator(opened.key)).await;
        Ok(Self { actor: Actor::Operator(Some(opened.key)) })
    }
}
