//! An installation of its own for a test: database, lanes, api and workers.

use std::{collections::BTreeMap, path::PathBuf, process::Command, time::Duration};

use jobs::{
    kinds,
    queue::{Lanes, LanesConfig},
};
use loadtest::client::{Client, NewTenant, Tenant};
use serde_json::json;
use uuid::Uuid;

use crate::{Process, TestDatabase, choose_tls_provider, eventually, free_port, setting};

/// The key of the operator in tests.
const ADMIN_KEY: &str = "mk_admin_0000000000000000000000000000000000000000000000000000000000000000";
/// Seals secrets in tests.
const SECRETS_KEYS: &str = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A process is ready within this on a busy machine.
const START: Duration = Duration::from_secs(60);

pub struct StackBuilder {
    workers: usize,
    postgres_url: Option<String>,
    redis_url: Option<String>,
    env: BTreeMap<String, String>,
}

impl StackBuilder {
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub fn postgres(mut self, url: String) -> Self {
        self.postgres_url = Some(url);
        self
    }

    pub fn redis(mut self, url: String) -> Self {
        self.redis_url = Some(url);
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.insert(name.to_owned(), value.into());
        self
    }

    pub async fn start(self) -> Stack {
        choose_tls_provider();
        let server = self.postgres_url.unwrap_or_else(|| setting("TEST_DATABASE_URL"));
        let database = TestDatabase::create_on(server).await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut env = BTreeMap::from([
            ("DATABASE_URL".to_owned(), database.url().to_owned()),
            ("DATABASE_CONNECTIONS".to_owned(), "10".to_owned()),
            ("REDIS_URL".to_owned(), self.redis_url.unwrap_or_else(|| setting("TEST_REDIS_URL"))),
            ("REDIS_PREFIX".to_owned(), format!("test-{}", Uuid::now_v7().simple())),
            ("ADMIN_KEY".to_owned(), ADMIN_KEY.to_owned()),
            ("SECRETS_KEYS".to_owned(), SECRETS_KEYS.to_owned()),
            ("LANCEDB_URI".to_owned(), folder.path().join("lancedb").display().to_string()),
            ("ORIGINALS_URI".to_owned(), folder.path().join("originals").display().to_string()),
            ("EGRESS_ALLOW".to_owned(), "127.0.0.0/8".to_owned()),
            ("LEASE_SECONDS".to_owned(), "2".to_owned()),
            ("COOKIE_SECURE".to_owned(), "false".to_owned()),
            // Tests come from one address.
            ("RATE_LIMIT_PER_ADDRESS".to_owned(), "1000000".to_owned()),
            ("LOG_FORMAT".to_owned(), "text".to_owned()),
            ("RUST_LOG".to_owned(), "info,lance=warn,lancedb=warn,genai=off".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ]);
        env.extend(self.env);
        let api_bind = format!("127.0.0.1:{}", free_port());
        let api_url = format!("http://{api_bind}");
        let mut stack = Stack { api: None, workers: Vec::new(), api_url, api_bind, env, folder, database, started: 0 };
        stack.start_api().await;
        for _ in 0..self.workers {
            stack.start_worker().await;
        }
        stack
    }
}

/// A worker process and where its probes answer.
pub struct WorkerHandle {
    pub process: Process,
    pub probes: String,
}

impl WorkerHandle {
    /// Whether it says that it leads the relay.
    pub async fn leads_the_relay(&self) -> bool {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().expect("a client");
        let Ok(answer) = client.get(format!("{}/metrics", self.probes)).send().await else { return false };
        answer.text().await.is_ok_and(|metrics| metrics.lines().any(|line| line == "metachat_relay_leader 1"))
    }
}

pub struct Stack {
    // Dropped in this order: processes before what they use.
    pub api: Option<Process>,
    pub workers: Vec<WorkerHandle>,
    pub api_url: String,
    api_bind: String,
    env: BTreeMap<String, String>,
    folder: tempfile::TempDir,
    pub database: TestDatabase,
    started: usize,
}

impl Stack {
    /// An api and one worker.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> StackBuilder {
        StackBuilder { workers: 1, postgres_url: None, redis_url: None, env: BTreeMap::new() }
    }

    /// Starts the api and waits until it is ready.
    pub async fn start_api(&mut self) {
        self.launch_api();
        ready(&self.api_url).await;
    }

    /// Starts the api, at the same address each time, and leaves it to itself.
    pub fn launch_api(&mut self) {
        let mut command = self.command("metachat-api");
        command.arg("serve").env("API_BIND", &self.api_bind);
        self.api = Some(Process::start("api", self.folder.path(), command));
    }

    /// A further api on the same installation, at an address of its own; ends when dropped.
    pub async fn replica(&self) -> (Process, String) {
        let bind = format!("127.0.0.1:{}", free_port());
        let mut command = self.command("metachat-api");
        command.arg("serve").env("API_BIND", &bind);
        let process = Process::start("api-replica", self.folder.path(), command);
        let url = format!("http://{bind}");
        ready(&url).await;
        (process, url)
    }

    /// Sets a variable of the processes that are started from now on.
    pub fn set_env(&mut self, name: &str, value: impl Into<String>) {
        self.env.insert(name.to_owned(), value.into());
    }

    /// Waits until no lane holds anything.
    pub async fn lanes_are_empty(&self, limit: Duration) {
        let config = LanesConfig {
            url: self.env("REDIS_URL").to_owned(),
            prefix: self.env("REDIS_PREFIX").to_owned(),
            lease: limit,
        };
        let lanes = Lanes::connect(config).expect("a usable URL");
        for kind in kinds::names() {
            eventually(&format!("the lane of {kind} is empty"), limit, async || {
                let stats = lanes.stats(kind).await.ok()?;
                (stats.held == 0 && stats.in_flight == 0).then_some(())
            })
            .await;
        }
    }

    /// Which workers say that they lead the relay: one, but for moments.
    pub async fn leaders(&self) -> Vec<usize> {
        let mut leaders = Vec::new();
        for (n, worker) in self.workers.iter().enumerate() {
            if worker.leads_the_relay().await {
                leaders.push(n);
            }
        }
        leaders
    }

    /// Starts a worker and waits until it is ready.
    pub async fn start_worker(&mut self) -> &mut WorkerHandle {
        self.launch_worker();
        let worker = self.workers.last_mut().expect("just launched");
        ready(&worker.probes).await;
        worker
    }

    /// Starts a worker and leaves it to itself.
    pub fn launch_worker(&mut self) {
        let bind = format!("127.0.0.1:{}", free_port());
        let mut command = self.command("metachat-worker");
        command.arg("run").env("WORKER_BIND", &bind);
        self.started += 1;
        let process = Process::start(&format!("worker-{}", self.started), self.folder.path(), command);
        self.workers.push(WorkerHandle { process, probes: format!("http://{bind}") });
    }

    /// Waits until the api and every worker are ready.
    pub async fn ready(&self) {
        ready(&self.api_url).await;
        for worker in &self.workers {
            ready(&worker.probes).await;
        }
    }

    /// A variable of the processes.
    pub fn env(&self, name: &str) -> &str {
        &self.env[name]
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn admin(&self) -> Client {
        Client::new(&self.api_url, ADMIN_KEY).expect("a usable URL")
    }

    /// A new tenant on the pro plan, and a client that holds its key.
    pub async fn tenant(&self, name: &str) -> (Tenant, Client) {
        self.tenant_with_settings(name, json!({})).await
    }

    /// A new tenant with settings.
    pub async fn tenant_with_settings(&self, name: &str, settings: serde_json::Value) -> (Tenant, Client) {
        let plan = Some("pro".into());
        // No test of anything else runs into a rate limit.
        let limits = Some(json!({ "requests_per_minute": 1_000_000, "messages_per_minute": 1_000_000 }));
        self.tenant_with(NewTenant { name: name.into(), plan, settings: Some(settings), limits }).await
    }

    pub async fn tenant_with(&self, tenant: NewTenant) -> (Tenant, Client) {
        let tenant = self.admin().create_tenant(&tenant).await.expect("a tenant");
        let client = Client::new(&self.api_url, &tenant.api_key.key).expect("a usable URL");
        (tenant, client)
    }

    /// Waits until no job is left.
    pub async fn idle(&self, limit: Duration) {
        eventually("all jobs are finished", limit, async || {
            (self.database.count("select count(*) from jobs").await == 0).then_some(())
        })
        .await;
    }

    /// Ends the test: nothing may be left to do, nothing may have died, and every process ends by itself.
    pub async fn finish(mut self) {
        self.idle(Duration::from_secs(30)).await;
        assert_eq!(self.database.count("select count(*) from dead_jobs").await, 0, "dead letters");
        for worker in &mut self.workers {
            let status = worker.process.terminate(Duration::from_secs(30)).await;
            assert!(status.success(), "worker: {status}\n{}", worker.process.log());
        }
        if let Some(api) = &mut self.api {
            let status = api.terminate(Duration::from_secs(30)).await;
            assert!(status.success(), "api: {status}\n{}", api.log());
        }
    }

    fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(PathBuf::from(setting("METACHAT_BIN_DIR")).join(binary));
        command.envs(&self.env).current_dir(self.folder.path());
        command
    }
}

async fn ready(url: &str) {
    eventually(&format!("{url} is ready"), START, async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}
