//! `X-Forwarded-For` and `-Proto`: never believed from a stranger, and from a proxy never a trusted network's address
//! while an untrusted one stands to its right.

#![no_main]

use std::net::IpAddr;

use api::proxies::Proxies;
use axum::http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = match line.strip_prefix(b"proto:") {
            Some(value) => ("x-forwarded-proto", value),
            None => ("x-forwarded-for", line),
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
    let stranger = IpAddr::from([203, 0, 113, 9]);
    let seen = proxies.client(stranger, &headers);
    assert!(seen.address == stranger && !seen.secure);
    let behind = proxies.client(IpAddr::from([10, 0, 0, 1]), &headers);
    assert_eq!(behind.address, behind.address.to_canonical());
    // A stranger to the right of everything is the client, whatever it wrote before.
    headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
    assert_eq!(proxies.client(IpAddr::from([10, 0, 0, 1]), &headers).address, stranger);
});
