//! Where a request comes from.

use std::{convert::Infallible, net::IpAddr};

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{facts::Facts, proxies::Client};

/// The client behind the trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(Client);

impl ClientAddress {
    /// What one client has to itself.
    pub fn network(self) -> IpAddr {
        self.0.network()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Facts::of(&parts.extensions).client()))
    }
}
