//! Which hosts may be loaded: this machine only, because a load generator pointed elsewhere by mistake is an attack.

use anyhow::{Context, bail};
use url::{Host, Url};

pub(crate) fn refuse_remote(api_url: &str) -> anyhow::Result<()> {
    let url = Url::parse(api_url).with_context(|| format!("{api_url:?} is not a URL"))?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if !is_local {
        bail!("{api_url} is not on this machine: only loopback addresses may be loaded");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::refuse_remote;

    #[test]
    fn only_this_machine_is_loaded() {
        for local in ["http://localhost:8080", "http://127.0.0.1", "http://127.8.0.1:1/x", "http://[::1]:8080"] {
            assert!(refuse_remote(local).is_ok(), "{local}");
        }
        for remote in ["http://10.0.0.1", "https://example.com", "http://localhost.example.com", "http://0.0.0.0", "x"]
        {
            assert!(refuse_remote(remote).is_err(), "{remote}");
        }
    }
}
