//! Who the client is, behind proxies that are trusted and headers that anybody can write.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;
use jobs::domain::egress::Network;

/// Entries of `X-Forwarded-For` looked at; no chain of proxies is as long.
const MAX_HOPS: usize = 32;

/// The address a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The client behind a request, as far as it can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    pub address: IpAddr,
    /// Whether it came to the nearest proxy by HTTPS.
    pub secure: bool,
}

impl Client {
    /// What one client has to itself: an IPv4 address, or the /64 that an IPv6 client can choose its addresses from.
    pub fn network(self) -> IpAddr {
        match self.address {
            IpAddr::V4(_) => self.address,
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
        }
    }
}

/// The networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<Network>);

impl Proxies {
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// The client is the right-most address that is no trusted proxy: each proxy appends the address it saw, so what
    /// stands left of the first untrusted one was written by the client itself. Where an entry is no address the last
    /// proxy reached stands for the client.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return Client { address: peer, secure: false };
        }
        let mut address = peer;
        for hop in entries(headers, "x-forwarded-for").take(MAX_HOPS) {
            let Some(hop) = parse(hop) else { break };
            address = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        // The nearest proxy's own word; what stands left of it came from further away.
        let proto = entries(headers, "x-forwarded-proto").next();
        Client { address, secure: proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The entries of a list header from right to left, over all of its lines.
fn entries<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default()).collect();
    lines.into_iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim)
}

/// An address, with a port or in brackets as some proxies write it; an IPv4 address mapped into IPv6 is that one.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim_matches('"');
    let bare = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match entry.split_once(':') {
            // One colon parts an IPv4 address from its port; an IPv6 address has more.
            Some((address, port)) if !port.contains(':') => address,
            _ => entry,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, lines: &[&'static str], proto: &[&'static str]) -> (String, bool) {
        let trusted = ["10.0.0.0/8", "192.0.2.1", "fd00::/8"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        });
        proto.iter().for_each(|line| {
            headers.append("x-forwarded-proto", HeaderValue::from_static(line));
        });
        let Client { address, secure } = Proxies::new(trusted.to_vec()).client(peer.parse().unwrap(), &headers);
        (address.to_string(), secure)
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_not_trusted() {
        for (peer, lines, expected) in [
            // Nobody vouches for what a stranger writes.
            ("203.0.113.9", &["1.2.3.4"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.2.3.4, 203.0.113.9"], "203.0.113.9"),
            ("10.0.0.1", &["1.2.3.4, 203.0.113.9, 10.9.9.9 , 192.0.2.1"], "203.0.113.9"),
            // Several lines are one list.
            ("10.0.0.1", &["1.2.3.4", "203.0.113.9", "10.9.9.9"], "203.0.113.9"),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            // A mapped address is the IPv4 address, on either side.
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("fd00::1", &["[2001:db8::5]:4711"], "2001:db8::5"),
            ("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9"),
            ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4, ,10.2.2.2"], "10.2.2.2"),
        ] {
            assert_eq!(client(peer, lines, &[]).0, expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_https() {
        assert!(!client("203.0.113.9", &[], &["https"]).1);
        assert!(client("10.0.0.1", &["203.0.113.9"], &["HTTPS"]).1);
        assert!(!client("10.0.0.1", &[], &["http"]).1);
        assert!(!client("10.0.0.1", &[], &["https, http"]).1);
        assert!(!client("10.0.0.1", &[], &["https", "http"]).1);
        assert!(client("10.0.0.1", &[], &["http, https"]).1);
        assert!(!client("10.0.0.1", &[], &[]).1);
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        let client = |text: &str| Client { address: text.parse().unwrap(), secure: false };
        assert_eq!(client("2001:db8:1:2:3:4:5:6").network(), client("2001:db8:1:2:ffff::1").network());
        assert_ne!(client("2001:db8:1:2::1").network(), client("2001:db8:1:3::1").network());
        assert_ne!(client("203.0.113.1").network(), client("203.0.113.2").network());
    }
}
