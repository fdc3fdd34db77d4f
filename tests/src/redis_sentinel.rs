//! A master, its replica and a sentinel of the test's own.

use std::{fs, process::Command, time::Duration};

use crate::{Process, eventually, free_port, redis::server};

const START: Duration = Duration::from_secs(60);
/// What the sentinel calls the master.
const MASTER: &str = "lanes";

pub struct RedisSentinel {
    sentinel: u16,
    /// The master, at first, and the replica.
    servers: [Process; 2],
    _sentinel: Process,
    _folder: tempfile::TempDir,
}

impl RedisSentinel {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (master, replica, sentinel) = (free_port(), free_port(), free_port());
        let start = |name: &str, port: u16, of: Option<u16>| {
            let mut command = server(port, folder.path());
            command.args(["--appenddirname", name, "--repl-diskless-sync-delay", "0"]);
            if let Some(of) = of {
                command.args(["--replicaof", "127.0.0.1", &of.to_string()]);
            }
            Process::start(name, folder.path(), command)
        };
        let servers = [start("master", master, None), start("replica", replica, Some(master))];
        let config = folder.path().join("sentinel.conf");
        let settings = format!(
            "port {sentinel}\nbind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {master} 1\n\
             sentinel down-after-milliseconds {MASTER} 1000\nsentinel failover-timeout {MASTER} 3000\n"
        );
        fs::write(&config, settings).expect("a configuration");
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel");
        let process = Process::start("sentinel", folder.path(), command);
        eventually("the sentinel knows the replica", START, async || {
            let client = redis::Client::open(format!("redis://127.0.0.1:{sentinel}")).ok()?;
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            let mut replicas = redis::cmd("SENTINEL");
            replicas.arg("REPLICAS").arg(MASTER);
            let replicas: Vec<Vec<String>> = replicas.query_async(&mut connection).await.ok()?;
            replicas.iter().any(|replica| replica.contains(&"ok".to_owned())).then_some(())
        })
        .await;
        Self { sentinel, servers, _sentinel: process, _folder: folder }
    }

    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}#{MASTER}", self.sentinel)
    }

    /// Crashes the master for good; the replica takes its place.
    pub fn lose_master(&mut self) {
        self.servers[0].kill();
    }
}
