//! A Redis Cluster of the test's own: three masters, each with a replica.

use std::time::Duration;

use redis::aio::MultiplexedConnection;

use crate::{Process, eventually, free_port, redis::server};

const START: Duration = Duration::from_secs(60);
const SLOTS: u16 = 16_384;
/// Silence after which a node is taken to be gone.
const NODE_TIMEOUT_MS: &str = "1500";

struct Node {
    port: u16,
    bus: u16,
    process: Process,
}

/// Its nodes find each other by the first one; the first three are masters.
pub struct RedisCluster {
    nodes: Vec<Node>,
    _folder: tempfile::TempDir,
}

impl RedisCluster {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes: Vec<Node> = (0..6).map(|n| launch(n, &folder)).collect();
        let cluster = Self { nodes, _folder: folder };
        let mut ids = Vec::new();
        for (n, node) in cluster.nodes.iter().enumerate() {
            let mut connection = connection(node.port).await;
            ids.push(ask::<String>(&mut connection, "MYID", &[]).await);
            if n < 3 {
                let (first, last) = (SLOTS / 3 * n as u16, if n == 2 { SLOTS } else { SLOTS / 3 * (n as u16 + 1) } - 1);
                ask::<String>(&mut connection, "ADDSLOTSRANGE", &[first.to_string(), last.to_string()]).await;
            }
            ask::<String>(&mut connection, "SET-CONFIG-EPOCH", &[(n + 1).to_string()]).await;
            let first = &cluster.nodes[0];
            if n > 0 {
                let met = ["127.0.0.1".to_owned(), first.port.to_string(), first.bus.to_string()];
                ask::<String>(&mut connection, "MEET", &met).await;
            }
        }
        for (n, node) in cluster.nodes.iter().enumerate().skip(3) {
            let mut connection = connection(node.port).await;
            let master = ids[n - 3].clone();
            eventually("a replica knows its master", START, async || {
                let mut replicate = redis::cmd("CLUSTER");
                replicate.arg("REPLICATE").arg(&master).query_async::<String>(&mut connection).await.ok()
            })
            .await;
        }
        for node in &cluster.nodes {
            let mut connection = connection(node.port).await;
            eventually("the cluster is whole", START, async || {
                let info = ask::<String>(&mut connection, "INFO", &[]).await;
                let nodes = ask::<String>(&mut connection, "NODES", &[]).await;
                let replicas = nodes.matches("slave").count();
                (info.contains("cluster_state:ok") && replicas == 3).then_some(())
            })
            .await;
        }
        cluster
    }

    /// Names two of its nodes.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// Crashes a master for good; its replica takes its place.
    pub fn lose_master(&mut self, n: usize) {
        assert!(n < 3, "node {n} is a replica");
        self.nodes[n].process.kill();
    }

    /// Keys that each master holds, or none where it is gone.
    pub async fn keys(&self) -> Vec<usize> {
        let mut held = Vec::new();
        for node in &self.nodes[..3] {
            held.push(redis::cmd("DBSIZE").query_async(&mut connection(node.port).await).await.expect("DBSIZE"));
        }
        held
    }
}

fn launch(n: usize, folder: &tempfile::TempDir) -> Node {
    let (port, bus) = (free_port(), free_port());
    let mut command = server(port, folder.path());
    command
        .args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()])
        .args(["--cluster-node-timeout", NODE_TIMEOUT_MS, "--cluster-config-file", &format!("nodes-{n}.conf")])
        .args(["--appenddirname", &format!("aof-{n}"), "--repl-diskless-sync-delay", "0"]);
    Node { port, bus, process: Process::start(&format!("redis-{n}"), folder.path(), command) }
}

async fn connection(port: u16) -> MultiplexedConnection {
    eventually("a node answers", START, async || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).ok()?;
        client.get_multiplexed_async_connection().await.ok()
    })
    .await
}

async fn ask<T: redis::FromRedisValue>(connection: &mut MultiplexedConnection, what: &str, arguments: &[String]) -> T {
    let mut command = redis::cmd("CLUSTER");
    command.arg(what).arg(arguments).query_async(connection).await.unwrap_or_else(|error| panic!("{what}: {error}"))
}
