//! An OpenAI-compatible model server whose answers are known and whose faults are ordered.
//!
//! Its answer follows from the prompt alone: it quotes the first numbered source, or says that it does not know. Faults come
//! from rates, for load, or from a script, for tests.

mod completion;
mod fault;
mod pace;
mod quote;
mod routes;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::duration::parse_millis;
use crate::server::Server;
pub use fault::Fault;
use pace::Pace;
pub use quote::DOES_NOT_KNOW;

/// How many requests are remembered; older ones are forgotten, so that a long load run does not fill the memory.
const REMEMBERED: usize = 10_000;

/// How the model behaves; it can be changed while it runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub bind: SocketAddr,
    /// Milliseconds before the first token
    #[arg(long = "latency-ms", default_value = "0", value_parser = parse_millis)]
    pub latency: Duration,
    /// Latency that one request in a hundred exceeds; the others spread log-normally, with the latency above as their median
    #[arg(long = "latency-p99-ms", value_parser = parse_millis)]
    pub latency_p99: Option<Duration>,
    /// Pace after the first token; 0 is as fast as possible
    #[arg(long, default_value_t = 0.0)]
    pub tokens_per_second: f64,
    /// How much a pause between two tokens differs from the pace at most, as a share of it, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    pub token_jitter: f64,
    /// Share of requests answered with 500
    #[arg(long, default_value_t = 0.0)]
    pub error_rate: f64,
    /// Share of requests answered with 429 and Retry-After
    #[arg(long, default_value_t = 0.0)]
    pub rate_limit_rate: f64,
    /// Share of requests answered with 200 and JSON that breaks off
    #[arg(long, default_value_t = 0.0)]
    pub malformed_rate: f64,
    /// Seconds in Retry-After
    #[arg(long, default_value_t = 1)]
    pub retry_after: u64,
    /// Decides which requests the rates hit
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Answers every prompt with this text instead
    #[arg(long)]
    pub answer: Option<String>,
}

/// The arguments of `loadtest fake-model`.
pub type Args = Config;

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            latency: Duration::ZERO,
            latency_p99: None,
            tokens_per_second: 0.0,
            token_jitter: 0.0,
            error_rate: 0.0,
            rate_limit_rate: 0.0,
            malformed_rate: 0.0,
            retry_after: 1,
            seed: 0,
            answer: None,
        }
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub at: DateTime<Utc>,
    pub authorization: Option<String>,
    pub traceparent: Option<String>,
    pub body: Value,
    pub fault: Option<Fault>,
}

/// A running model; dropping it stops the server.
#[derive(Debug)]
pub struct FakeModel {
    server: Server,
    mind: Arc<Mutex<Mind>>,
}

/// What the routes share. A std mutex: nothing is awaited while it is held.
#[derive(Debug)]
struct Mind {
    config: Config,
    script: VecDeque<Fault>,
    dice: StdRng,
    served: u64,
    requests: VecDeque<Recorded>,
}

impl FakeModel {
    pub async fn start(config: Config) -> io::Result<Self> {
        let bind = config.bind;
        let mind = Arc::new(Mutex::new(Mind {
            script: VecDeque::new(),
            dice: StdRng::seed_from_u64(config.seed),
            served: 0,
            requests: VecDeque::new(),
            config,
        }));
        let server = Server::start(bind, routes::router(mind.clone())).await?;
        Ok(Self { server, mind })
    }

    /// Ends in `/v1/`, as OpenAI's own does.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1/", self.server.address())
    }

    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.mind().requests.iter().cloned().collect()
    }

    /// All requests for a completion, forgotten ones included.
    pub fn served(&self) -> u64 {
        self.mind().served
    }

    /// The next requests meet these faults, one each; after them the rates apply again.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.mind().script.extend(faults);
    }

    /// Changes the behaviour of requests to come.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.mind().config);
    }

    fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().expect("no holder panics")
    }
}

impl Mind {
    /// Records the request and decides its fate and its pace.
    fn receive(
        &mut self,
        authorization: Option<String>,
        traceparent: Option<String>,
        body: Value,
    ) -> (Option<Fault>, Pace) {
        let fault = self.script.pop_front().or_else(|| Fault::roll(&self.config, &mut self.dice));
        self.served += 1;
        self.requests.push_back(Recorded { at: Utc::now(), authorization, traceparent, body, fault });
        if self.requests.len() > REMEMBERED {
            self.requests.pop_front();
        }
        (fault, Pace::roll(&self.config, &mut self.dice))
    }
}

/// Serves until Ctrl-C.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let model = FakeModel::start(args).await?;
    println!("fake model at {}", model.base_url());
    tokio::signal::ctrl_c().await?;
    println!("{} requests served", model.served());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
