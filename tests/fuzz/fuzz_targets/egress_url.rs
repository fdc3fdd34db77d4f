//! Callback and webhook URLs: what passes the gate means a public host to every later reader of the same text.

#![no_main]

use std::net::IpAddr;

use jobs::domain::egress::EgressPolicy;
use libfuzzer_sys::fuzz_target;
use url::Host;

fuzz_target!(|text: &str| {
    let policy = EgressPolicy::default();
    let Ok(url) = policy.check_url(text) else { return };
    assert!(matches!(url.scheme(), "http" | "https"));
    assert!(url.username().is_empty() && url.password().is_none());
    match url.host().expect("a host") {
        Host::Ipv4(address) => assert!(policy.permits(IpAddr::V4(address))),
        Host::Ipv6(address) => assert!(policy.permits(IpAddr::V6(address))),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            assert!(!name.is_empty() && name != "localhost" && !name.ends_with(".localhost"));
            assert!(name.parse::<IpAddr>().is_err());
        }
    }
    assert_eq!(policy.check_url(url.as_str()).as_ref(), Ok(&url), "the URL as it is sent");
});
