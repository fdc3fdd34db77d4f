//! What becomes known of a request on its way in, for the middleware that answers for it on the way out.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Extensions;
use jobs::domain::ids::{ApiKeyId, TenantId};

use crate::{limits::Standing, proxies::Client};

/// One per request, in its extensions. Extractors write, the middleware reads.
#[derive(Clone)]
pub struct Facts(Arc<Inner>);

struct Inner {
    client: Client,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tenant: Option<TenantId>,
    key: Option<ApiKeyId>,
    /// Whether somebody answers for the request: a tenant, the operator, Stripe's signature, or its address.
    accounted: bool,
    standings: Vec<Standing>,
}

impl Facts {
    pub fn new(client: Client) -> Self {
        Self(Arc::new(Inner { client, known: Mutex::default() }))
    }

    /// The request's facts, which the outermost middleware puts there.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().expect("every request passes `observe` first")
    }

    pub fn client(&self) -> Client {
        self.0.client
    }

    pub fn caller(&self) -> (Option<TenantId>, Option<ApiKeyId>) {
        self.with(|known| (known.tenant, known.key))
    }

    pub fn is_accounted(&self) -> bool {
        self.with(|known| known.accounted)
    }

    /// The request comes from somebody whom no rate limit holds.
    pub fn vouch(&self) {
        self.with(|known| known.accounted = true);
    }

    /// The request carries a tenant's credential: a key, or another one without an id of a key.
    pub fn identify(&self, tenant: TenantId, key: Option<ApiKeyId>) {
        self.with(|known| {
            known.tenant = Some(tenant);
            known.key = key;
            known.accounted = true;
        });
    }

    /// The request was charged to these limits.
    pub fn charge(&self, standings: Vec<Standing>) {
        self.with(|known| {
            known.standings = standings;
            known.accounted = true;
        });
    }

    pub fn standings(&self) -> Vec<Standing> {
        self.with(|known| known.standings.clone())
    }

    // A std mutex: nothing is awaited while it is held.
    fn with<T>(&self, touch: impl FnOnce(&mut Known) -> T) -> T {
        touch(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
