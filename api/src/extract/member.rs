//! The person behind a request.

use std::ops::Deref;

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::{
    domain::{
        access::Scopes,
        audit::Actor,
        ids::{SessionId, UserId},
    },
    store::tenants::Tenant,
};

use super::caller::identify;
use crate::{
    identity::{Author, Credential, Identity},
    problem::{Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Proof that the request carries the session of a person of a tenant's team. A key is nobody's.
#[derive(Debug, Clone)]
pub struct Member {
    pub session: SessionId,
    pub user: UserId,
    pub scopes: Scopes,
    tenant: Tenant,
}

impl Member {
    pub fn author(&self, request: RequestId) -> Author {
        Author { actor: Actor::User(self.user), request }
    }
}

impl Deref for Member {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.tenant
    }
}

impl FromRequestParts<AppState> for Member {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (identity, _) = identify(parts, state).await?;
        let Identity { tenant, credential, scopes } = (*identity).clone();
        match credential {
            Credential::Session { session, user } => Ok(Self { session, user, scopes, tenant }),
            Credential::Key(_) => {
                Err(Problem::new(Kind::Unauthorized).detail("Log in: this is about a person, and a key is nobody's."))
            }
        }
    }
}
