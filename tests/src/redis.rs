//! A Redis of the test's own, for tests that take it away.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{Process, eventually, free_port};

/// Reading back the file of a long run included.
const START: Duration = Duration::from_secs(60);

/// Keeps its data across restarts in an append-only file.
pub struct PrivateRedis {
    port: u16,
    folder: tempfile::TempDir,
    process: Process,
}

impl PrivateRedis {
    pub async fn start() -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a folder");
        let process = launch(port, folder.path().to_owned());
        let redis = Self { port, folder, process };
        redis.ready().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Loses everything it holds.
    pub async fn flush(&self) {
        let mut connection = self.connection().await.expect("a running Redis");
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("FLUSHALL");
    }

    /// Crashes and comes back `after` a while.
    pub async fn crash(&mut self, after: Duration) {
        self.process.kill();
        tokio::time::sleep(after).await;
        self.process = launch(self.port, self.folder.path().to_owned());
        self.ready().await;
    }

    /// Stops answering and keeps its connections, until it is thawed.
    pub fn freeze(&self) {
        self.process.signal(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.process.signal(libc::SIGCONT);
    }

    pub async fn connection(&self) -> Result<redis::aio::MultiplexedConnection, redis::RedisError> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    async fn ready(&self) {
        eventually("Redis is ready", START, async || {
            let mut connection = self.connection().await.ok()?;
            redis::cmd("PING").query_async::<String>(&mut connection).await.ok()
        })
        .await;
    }
}

fn launch(port: u16, folder: PathBuf) -> Process {
    Process::start("redis", &folder, server(port, &folder))
}

/// A server on loopback that keeps its data in an append-only file.
pub(crate) fn server(port: u16, folder: &Path) -> Command {
    let mut command = Command::new("redis-server");
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""])
        .arg("--dir")
        .arg(folder);
    command
}
