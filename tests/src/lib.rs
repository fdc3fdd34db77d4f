//! The real api and worker, as processes, against a real Postgres, Redis, LanceDB and ONNX Runtime.
//!
//! Every test has a database, a Redis prefix, ports and folders of its own, so tests run side by side. Needs
//! `TEST_DATABASE_URL`, `TEST_REDIS_URL` and `METACHAT_BIN_DIR`, which `make test` sets.

mod database;
pub mod files;
mod lane_worker;
mod object_store;
mod postgres;
mod process;
mod queue;
mod redis;
mod redis_cluster;
mod redis_sentinel;
mod relay_loop;
mod stack;

pub use database::TestDatabase;
pub use lane_worker::LaneWorker;
pub use object_store::ObjectStore;
pub use postgres::PrivatePostgres;
pub use process::Process;
pub use queue::{done, lanes, lanes_on, new_job};
pub use redis::PrivateRedis;
pub use redis_cluster::RedisCluster;
pub use redis_sentinel::RedisSentinel;
pub use relay_loop::RelayLoop;
pub use stack::{Stack, StackBuilder, WorkerHandle};

use std::{env, net::TcpListener, path::PathBuf, time::Duration};

/// A variable that `make test` sets.
pub fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`"))
}

/// A port of the loopback address that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("an address").port()
}

/// A sample document of the demo.
pub fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../loadtest/samples").join(name)
}

/// Asks until an answer comes, at most `limit`; then panics with what was waited for.
pub async fn eventually<T>(what: &str, limit: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Chooses the process' TLS provider; every test that speaks HTTP calls it through [`Stack`].
pub fn choose_tls_provider() {
    // An error says that an earlier call chose it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
