//! Lists of networks (`EGRESS_ALLOW`, `TRUSTED_PROXIES`): a list that is read names nothing twice as wide.

#![no_main]

use std::net::IpAddr;

use jobs::domain::egress::{EgressPolicy, Network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = text.parse::<EgressPolicy>();
    let Ok(network) = text.parse::<Network>() else { return };
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().expect("a network begins with its address");
    assert!(network.contains(address));
    let (IpAddr::V4(v4), Ok(prefix @ 1..=32)) = (address, prefix.parse::<u32>()) else { return };
    let outside = v4.to_bits() ^ (1 << (32 - prefix));
    assert!(!network.contains(IpAddr::from(outside.to_be_bytes())), "the last bit of the prefix counts");
});
