//! Redis as the lanes reach it: one server, a cluster, or the master that Sentinel names.
//!
//! Connections are made when first needed and made again when they fail; a call fails meanwhile. Nothing is tried again here
//! but what a cluster redirects.

mod address;
mod master;

use std::{sync::Arc, time::Duration};

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub},
    cluster::{ClusterClientBuilder, ClusterConfig},
    cluster_async::ClusterConnection,
};

use self::{address::Address, master::Master};

/// Redis' answer must come within this; the client's default of 500 ms fails on a busy server.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a call follows a cluster's redirection, or waits while a slot has no master.
const CLUSTER_RETRIES: u32 = 3;

/// Cheap to clone.
#[derive(Clone)]
pub(super) enum Wire {
    Server { client: Arc<Client>, connection: ConnectionManager },
    Cluster { nodes: Arc<[Client]>, connection: ClusterConnection },
    Sentinel(Master),
}

impl Wire {
    /// Reads `redis://host:port`, `redis-cluster://host:port,host:port` or `redis-sentinel://host:port,host:port#master`; with
    /// `rediss` in front the servers are spoken to by TLS.
    pub fn connect(url: &str) -> Result<Self, RedisError> {
        match Address::parse(url)? {
            Address::Server(client) => {
                let settings = ConnectionManagerConfig::new()
                    .set_response_timeout(Some(RESPONSE_TIMEOUT))
                    .set_connection_timeout(Some(CONNECT_TIMEOUT));
                let connection = ConnectionManager::new_lazy_with_config(*client.clone(), settings)?;
                Ok(Self::Server { client: client.into(), connection })
            }
            Address::Cluster(nodes) => {
                let seeds = nodes.iter().map(|node| node.get_connection_info().clone());
                let client = ClusterClientBuilder::new(seeds)
                    .retries(CLUSTER_RETRIES)
                    .connection_timeout(CONNECT_TIMEOUT)
                    .response_timeout(RESPONSE_TIMEOUT)
                    .build()?;
                let connection = client.get_pending_async_connection_with_config(ClusterConfig::new());
                Ok(Self::Cluster { nodes: nodes.into(), connection })
            }
            Address::Sentinel(client) => Ok(Self::Sentinel(Master::new(*client))),
        }
    }

    /// Subscribes to channels, over a connection of its own. A cluster's nodes tell each other what is published, so any serves.
    pub async fn subscribe(&self, channels: &[String]) -> Result<PubSub, RedisError> {
        match self {
            Self::Server { client, .. } => subscribe(client, channels).await,
            Self::Sentinel(master) => subscribe(&master.client().await?, channels).await,
            Self::Cluster { nodes, .. } => {
                let mut last = None;
                for node in nodes.iter() {
                    match subscribe(node, channels).await {
                        Ok(subscription) => return Ok(subscription),
                        Err(error) => last = Some(error),
                    }
                }
                Err(last.unwrap_or_else(|| (redis::ErrorKind::InvalidClientConfig, "a cluster without nodes").into()))
            }
        }
    }
}

async fn subscribe(node: &Client, channels: &[String]) -> Result<PubSub, RedisError> {
    bounded(async {
        let mut subscription = node.get_async_pubsub().await?;
        subscription.subscribe(channels).await?;
        Ok(subscription)
    })
    .await
}

/// Gives up after [`CONNECT_TIMEOUT`].
async fn bounded<T>(connecting: impl Future<Output = Result<T, RedisError>>) -> Result<T, RedisError> {
    let timed_out = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(timed_out)?
}

impl ConnectionLike for Wire {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server { connection, .. } => connection.req_packed_command(command),
            Self::Cluster { connection, .. } => connection.req_packed_command(command),
            Self::Sentinel(master) => master.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server { connection, .. } => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster { connection, .. } => connection.req_packed_commands(pipeline, offset, count),
            Self::Sentinel(master) => master.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server { connection, .. } => connection.get_db(),
            Self::Cluster { connection, .. } => connection.get_db(),
            Self::Sentinel(master) => master.get_db(),
        }
    }
}
