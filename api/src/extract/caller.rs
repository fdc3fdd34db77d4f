//! The tenant behind a request.

use std::{ops::Deref, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::store::tenants::Tenant;

use super::bearer;
use crate::{
    problem::{Kind, Problem},
    state::AppState,
};

/// Proof that the request carries a tenant's key. An admin key is of another audience and opens nothing here.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Tenant>);

impl Deref for Caller {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.0
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let refused = || Problem::new(Kind::Unauthorized).detail("Send a tenant's key as `Authorization: Bearer …`.");
        let key = bearer(&parts.headers).ok_or_else(refused)?;
        let tenant = state.keys.tenant_of(key).await?.ok_or_else(refused)?;
        tracing::Span::current().record("tenant", tracing::field::display(tenant.id));
        match tenant.enabled {
            true => Ok(Self(tenant)),
            false => Err(Problem::new(Kind::TenantDisabled)),
        }
    }
}
