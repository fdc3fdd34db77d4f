//! Name resolution that keeps connections inside the egress policy.

use std::{net::SocketAddr, sync::Arc};

use jobs::domain::egress::EgressPolicy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves a name and hands out only the addresses the policy permits.
///
/// The client connects to the addresses given here, so a name that answers differently a moment later (DNS
/// rebinding) gains nothing.
pub struct GuardedResolver {
    policy: Arc<EgressPolicy>,
    names: Arc<dyn Resolve>,
}

impl GuardedResolver {
    pub fn new(policy: Arc<EgressPolicy>, names: Arc<dyn Resolve>) -> Self {
        Self { policy, names }
    }
}

/// Every address of the name lies outside the policy.
#[derive(Debug, thiserror::Error)]
#[error("{0} has no public address")]
pub struct RefusedName(String);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let refused = RefusedName(name.as_str().to_owned());
        let found = self.names.resolve(name);
        Box::pin(async move {
            let permitted: Vec<SocketAddr> = found.await?.filter(|address| policy.permits(address.ip())).collect();
            match permitted.is_empty() {
                true => Err(refused.into()),
                false => Ok(Box::new(permitted.into_iter()) as Addrs),
            }
        })
    }
}

/// The machine's own resolution: its hosts file and its name servers.
pub struct SystemNames;

impl Resolve for SystemNames {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
