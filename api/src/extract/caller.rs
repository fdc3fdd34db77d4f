//! The tenant behind a request.

use std::{ops::Deref, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use jobs::store::{api_keys::Opened, tenants::Tenant};

use super::bearer;
use crate::{
    limits,
    problem::{Kind, Problem},
    state::AppState,
};

/// Proof that the request carries a tenant's key. An admin key is of another audience and opens nothing here.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Opened>);

impl Deref for Caller {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        &self.0.tenant
    }
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let refused = || Problem::new(Kind::Unauthorized).detail("Send a tenant's key as `Authorization: Bearer …`.");
        let key = bearer(&parts.headers).ok_or_else(refused)?;
        let opened = state.keys.open(key).await?.ok_or_else(refused)?;
        let tenant = &opened.tenant;
        tracing::Span::current().record("tenant", tracing::field::display(tenant.id));
        limits::admit(parts, state, tenant, Some(opened.key)).await?;
        match tenant.enabled {
            true => Ok(Self(opened)),
            false => Err(Problem::new(Kind::TenantDisabled)),
        }
    }
}
