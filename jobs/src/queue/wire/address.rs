//! Where Redis is, as a URL says it.

use redis::{
    Client, ErrorKind, IntoConnectionInfo, RedisError, TlsMode,
    sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType},
};

/// A deployment of Redis.
pub(super) enum Address {
    Server(Box<Client>),
    /// Some of its nodes; the others are asked for.
    Cluster(Vec<Client>),
    Sentinel(Box<SentinelClient>),
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, RedisError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| unusable("the URL has no scheme"))?;
        match scheme.split_once('-') {
            None => Ok(Self::Server(Box::new(Client::open(url)?))),
            Some((scheme, "cluster")) => {
                let nodes: Result<_, _> = urls(scheme, rest).into_iter().map(Client::open).collect();
                Ok(Self::Cluster(nodes?))
            }
            Some((scheme, "sentinel")) => {
                let (rest, master) = rest
                    .split_once('#')
                    .filter(|(_, master)| !master.is_empty())
                    .ok_or_else(|| unusable("a URL of Sentinel ends with # and the name of the master"))?;
                // User, password and database are the servers'; the sentinels have none.
                let server = urls(scheme, rest).remove(0).into_connection_info()?;
                let mut node =
                    SentinelNodeConnectionInfo::default().set_redis_connection_info(server.redis_settings().clone());
                if scheme == "rediss" {
                    node = node.set_tls_mode(TlsMode::Secure);
                }
                let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
                let hosts = hosts.split('/').next().unwrap_or_default();
                let client =
                    SentinelClient::build(urls(scheme, hosts), master, Some(node), SentinelServerType::Master)?;
                Ok(Self::Sentinel(Box::new(client)))
            }
            Some(_) => Err(unusable("the scheme is not redis, redis-cluster or redis-sentinel")),
        }
    }
}

/// A URL per host of `[user:password@]host:port,host:port[/database]`.
fn urls(scheme: &str, rest: &str) -> Vec<String> {
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((credentials, rest)) => (format!("{credentials}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, database) = match rest.split_once('/') {
        Some((hosts, database)) => (hosts, format!("/{database}")),
        None => (rest, String::new()),
    };
    hosts.split(',').map(|host| format!("{scheme}://{credentials}{}{database}", host.trim())).collect()
}

fn unusable(why: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, why).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(url: &str) -> &'static str {
        match Address::parse(url) {
            Ok(Address::Server(_)) => "server",
            Ok(Address::Cluster(_)) => "cluster",
            Ok(Address::Sentinel(_)) => "sentinel",
            Err(_) => "unusable",
        }
    }

    #[test]
    fn a_url_says_what_is_at_its_end() {
        for (url, expected) in [
            ("redis://127.0.0.1:6379", "server"),
            ("rediss://user:secret@redis.example:6380/3", "server"),
            ("redis-cluster://10.0.0.1:7000,10.0.0.2:7000", "cluster"),
            ("redis-sentinel://s1:26379,s2:26379#lanes", "sentinel"),
            ("rediss-sentinel://:secret@s1:26379/2#lanes", "sentinel"),
            ("redis-sentinel://s1:26379", "unusable"),
            ("redis-sentinel://s1:26379#", "unusable"),
            ("redis-swarm://s1:26379", "unusable"),
            ("127.0.0.1:6379", "unusable"),
            ("redis-cluster://", "unusable"),
        ] {
            assert_eq!(kind(url), expected, "{url}");
        }
    }

    #[test]
    fn every_host_gets_the_credentials_and_the_database() {
        assert_eq!(urls("redis", "u:p@a:1, b:2/3"), ["redis://u:p@a:1/3", "redis://u:p@b:2/3"]);
        assert_eq!(urls("rediss", "a:1"), ["rediss://a:1"]);
    }
}
