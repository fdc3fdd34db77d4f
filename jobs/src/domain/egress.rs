//! Where the product may send requests that a tenant asked for.
//!
//! Without this check a tenant could point a webhook at the machine's own network (server-side request
//! forgery). A URL is checked when it is saved and before each request; the addresses behind a name are
//! checked by [`EgressPolicy::permits`] at the moment of connecting, because they may change in between.

mod network;

use std::{net::IpAddr, str::FromStr};

pub use network::{InvalidNetwork, Network};
use url::{Host, Url};

/// Ports below belong to named services (mail, SSH, DNS), which must not be talked to in HTTP's disguise; but for HTTP's own two.
const FIRST_FREE_PORT: u16 = 1024;

/// Refuses every address that is not public, except what the operator allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    allow: Vec<Network>,
}

/// Why a URL is refused. The text is shown to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressRefusal {
    #[error("a URL with a blank, a control character or a backslash is not allowed")]
    Ambiguous,
    #[error("not a valid URL: {0}")]
    Invalid(#[from] url::ParseError),
    #[error("the scheme `{0}` is not allowed; use https")]
    Scheme(String),
    #[error("a URL with a user name or password is not allowed")]
    Credentials,
    #[error("the port {0} is not allowed; use 443, 80 or one from {FIRST_FREE_PORT}")]
    Port(u16),
    #[error("the URL has no host")]
    NoHost,
    #[error("the host `{0}` is this machine")]
    LocalHost(String),
    #[error("the address {0} is not public")]
    Address(IpAddr),
}

/// Reads a comma-separated list of networks such as `127.0.0.0/8, ::1, 10.1.0.0/16`; a blank text allows nothing extra.
impl FromStr for EgressPolicy {
    type Err = InvalidNetwork;

    fn from_str(list: &str) -> Result<Self, InvalidNetwork> {
        let networks = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        Ok(Self { allow: networks.map(str::parse).collect::<Result<_, _>>()? })
    }
}

impl EgressPolicy {
    /// The parsed URL when its scheme, port, host and literal address are allowed.
    ///
    /// Decimal, octal and hexadecimal spellings of an IPv4 address arrive here as the address they mean,
    /// because the `url` crate follows the WHATWG host parser. Names are not resolved.
    pub fn check_url(&self, url: &str) -> Result<Url, EgressRefusal> {
        // Parsers disagree on these, and a URL that reads as another host elsewhere serves nobody but an attacker.
        if url.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(EgressRefusal::Ambiguous);
        }
        let url = Url::parse(url)?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(EgressRefusal::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressRefusal::Credentials);
        }
        if let Some(port) =
            url.port_or_known_default().filter(|port| *port < FIRST_FREE_PORT && ![80, 443].contains(port))
        {
            return Err(EgressRefusal::Port(port));
        }
        let literal = match url.host().ok_or(EgressRefusal::NoHost)? {
            Host::Domain(name) => {
                self.check_name(name)?;
                None
            }
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
        };
        match literal {
            Some(address) if !self.permits(address) => Err(EgressRefusal::Address(address)),
            _ => Ok(url),
        }
    }

    /// Whether a connection to the address is allowed.
    ///
    /// An address that carries an IPv4 address (mapped, or NAT64's well-known prefix) is judged by that one.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = network::reached(address);
        self.allow.iter().any(|network| network.contains(address)) || network::is_public(address)
    }

    /// `localhost` and its subdomains mean this machine by RFC 6761, whatever a resolver says.
    fn check_name(&self, name: &str) -> Result<(), EgressRefusal> {
        let host = name.trim_end_matches('.');
        if host.is_empty() {
            return Err(EgressRefusal::NoHost);
        }
        let local = host == "localhost" || host.ends_with(".localhost");
        let loopback_allowed = self.permits(IpAddr::from([127, 0, 0, 1]));
        match local && !loopback_allowed {
            true => Err(EgressRefusal::LocalHost(host.to_owned())),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
