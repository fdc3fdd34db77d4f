//! The tenant behind a request, and that the request may do what the route does.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::{domain::access::Scopes, store::tenants::Tenant};

use super::{bearer, csrf, scope::Scope};
use crate::{
    identity::{Author, Credential, Identity},
    last_used,
    problem::{Kind, Problem},
    request_id::RequestId,
    sessions,
    state::AppState,
};

/// Proof that the request carries a tenant's key, or the session of a person of its team, whose scopes hold `S`. An
/// operator's key is of another audience and opens nothing here.
#[derive(Debug, Clone)]
pub struct Caller<S> {
    identity: Arc<Identity>,
    scope: PhantomData<fn() -> S>,
}

impl<S> Caller<S> {
    pub fn credential(&self) -> Credential {
        self.identity.credential
    }

    pub fn scopes(&self) -> Scopes {
        self.identity.scopes
    }

    /// For the audit log.
    pub fn author(&self, request: RequestId) -> Author {
        Author { actor: self.identity.actor(), request }
    }
}

impl<S> Deref for Caller<S> {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.identity.tenant
    }
}

impl<S: Scope> FromRequestParts<AppState> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let identity = identify(parts, state).await?;
        match identity.scopes.allow(S::PERMISSION) {
            true => Ok(Self { identity, scope: PhantomData }),
            false => Err(Problem::scope(S::PERMISSION)),
        }
    }
}

/// Who makes the request: by its key when it has one, else by its session. Either is all it needs: a key that opens
/// nothing is not made up for by a cookie.
pub(super) async fn identify(parts: &Parts, state: &AppState) -> Result<Arc<Identity>, Problem> {
    let refused = || {
        Problem::new(Kind::Unauthorized)
            .detail("Send a tenant's key as `Authorization: Bearer …`, or a session's cookie.")
    };
    let identity = match parts.headers.contains_key(axum::http::header::AUTHORIZATION) {
        true => {
            let key = bearer(&parts.headers).ok_or_else(refused)?;
            state.keys.tenant(key).await?.ok_or_else(refused)?
        }
        false => {
            let token = state.cookies.session(&parts.headers).ok_or_else(refused)?;
            let opened = sessions::open(&state.database, token).await?.ok_or_else(refused)?;
            csrf::check(parts, token)?;
            Arc::new(Identity::of_session(opened))
        }
    };
    tracing::Span::current().record("tenant", tracing::field::display(identity.tenant.id));
    state.last_used.note(used(&identity)).await;
    match identity.tenant.enabled {
        true => Ok(identity),
        false => Err(Problem::new(Kind::TenantDisabled)),
    }
}

fn used(identity: &Identity) -> last_used::Credential {
    match identity.credential {
        Credential::Key(key) => last_used::Credential::Key(key),
        Credential::Session { session, .. } => last_used::Credential::Session(session),
    }
}
