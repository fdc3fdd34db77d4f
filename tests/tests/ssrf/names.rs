//! A name server's place: answers as scripted, and counts how often it was asked.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Where a hostile name may lead.
pub const PRIVATE: &[&str] = &[
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
];

#[derive(Default)]
struct Script {
    answers: VecDeque<Vec<SocketAddr>>,
    asked: usize,
}

#[derive(Clone, Default)]
pub struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    /// The next look-up finds these addresses.
    pub fn answers<const N: usize>(&self, addresses: [&str; N]) {
        let addresses = addresses.map(|address| SocketAddr::new(address.parse::<IpAddr>().expect("an address"), 0));
        self.script(|script| script.answers.push_back(addresses.to_vec()));
    }

    pub fn asked(&self) -> usize {
        self.script(|script| script.asked)
    }

    pub fn forget(&self) {
        self.script(|script| *script = Script::default());
    }

    fn script<T>(&self, change: impl FnOnce(&mut Script) -> T) -> T {
        change(&mut self.0.lock().expect("no panic while it is held"))
    }
}

impl Resolve for Scripted {
    fn resolve(&self, _: Name) -> Resolving {
        let found = self.script(|script| {
            script.asked += 1;
            script.answers.pop_front().expect("a look-up that was foreseen")
        });
        Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}
