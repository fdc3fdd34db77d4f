//! The tenant behind a request, and that the request may do what the route does.

use std::{marker::PhantomData, ops::Deref, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use jobs::{domain::access::Scopes, store::tenants::Tenant};

use super::{bearer, csrf, scope::Scope};
use crate::{
    credentials,
    identity::{Author, Credential, Identity},
    last_used, limits,
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
    presented: Presented,
    scope: PhantomData<fn() -> S>,
}

/// What a request was let in by, as a hash.
#[derive(Debug, Clone, Copy)]
pub(super) enum Presented {
    Key([u8; 32]),
    Session([u8; 32]),
}

impl<S: Scope> Caller<S> {
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

    /// Whether the credential would be let in now: for an answer that goes on.
    pub async fn is_still_let_in(&self, state: &AppState) -> Result<bool, Problem> {
        let identity = self.presented.opens(state).await?;
        Ok(identity.is_some_and(|identity| identity.tenant.enabled && identity.scopes.allow(S::PERMISSION)))
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
        let (identity, presented) = identify(parts, state).await?;
        match identity.scopes.allow(S::PERMISSION) {
            true => Ok(Self { identity, presented, scope: PhantomData }),
            false => Err(Problem::scope(S::PERMISSION)),
        }
    }
}

impl Presented {
    async fn opens(self, state: &AppState) -> Result<Option<Arc<Identity>>, Problem> {
        match self {
            Self::Key(hash) => state.keys.tenant(hash).await,
            Self::Session(hash) => {
                let opened = sessions::open(&state.database, hash).await?;
                Ok(opened.map(|opened| Arc::new(Identity::of_session(opened))))
            }
        }
    }
}

/// Who makes the request: by its key when it has one, else by its session. Either is all it needs: a key that opens
/// nothing is not made up for by a cookie.
pub(super) async fn identify(parts: &Parts, state: &AppState) -> Result<(Arc<Identity>, Presented), Problem> {
    let refused = || {
        Problem::new(Kind::Unauthorized)
            .detail("Send a tenant's key as `Authorization: Bearer …`, or a session's cookie.")
    };
    let (presented, session) = if parts.headers.contains_key(header::AUTHORIZATION) {
        let key = bearer(&parts.headers).and_then(|key| credentials::hash_of_key(key, credentials::TENANT_PREFIX));
        (Presented::Key(key.ok_or_else(refused)?), None)
    } else {
        let token = state.cookies.session(&parts.headers).ok_or_else(refused)?;
        (Presented::Session(credentials::hash(token)), Some(token))
    };
    let identity = presented.opens(state).await?.ok_or_else(refused)?;
    if let Some(token) = session {
        csrf::check(parts, token, &state.origins)?;
    }
    tracing::Span::current().record("tenant", tracing::field::display(identity.tenant.id));
    limits::admit(parts, state, &identity.tenant, identity.key()).await?;
    state.last_used.note(used(&identity)).await;
    match identity.tenant.enabled {
        true => Ok((identity, presented)),
        false => Err(Problem::new(Kind::TenantDisabled)),
    }
}

fn used(identity: &Identity) -> last_used::Credential {
    match identity.credential {
        Credential::Key(key) => last_used::Credential::Key(key),
        Credential::Session { session, .. } => last_used::Credential::Session(session),
    }
}
