//! What the api itself carries: requests alone, without following the messages they submit. A worker need not run.
//!
//! Without a rate each of the clients sends its next request when the last one was answered, which finds the capacity; with one
//! the model is open and latencies count from the moment a request was due.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use hdrhistogram::Histogram;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Submission};
use crate::duration;
use crate::load::{Arrivals, LONGEST_LATENCY, Phase, Spread, unlimited};
use crate::target::refuse_remote;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// `POST /v1/messages`, each opening a conversation
    Submit,
    /// `GET /v1/usage`
    Read,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Base URL of the API; only this machine may be loaded
    #[arg(long, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    pub api_url: String,
    #[arg(long, env = "ADMIN_KEY", hide_env_values = true)]
    pub admin_key: String,
    #[arg(long, value_enum, default_value = "submit")]
    pub kind: Kind,
    /// Requests under way at once
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub clients: u32,
    /// Requests a second; without it, as many as are answered
    #[arg(long)]
    pub rate: Option<f64>,
    #[arg(long, default_value = "10s", value_parser = duration::parse)]
    pub duration: Duration,
    /// Tenants that take turns
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub tenants: u32,
}

/// Prints rate and latencies; fails when a request was refused.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    refuse_remote(&args.api_url)?;
    ensure!(args.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0), "--rate must be above 0");
    let admin = Client::new(&args.api_url, &args.admin_key)?;
    let mut fleet = Vec::new();
    for number in 1..=args.tenants {
        let tenant = admin.create_tenant(&unlimited(&format!("Requests {number}"))).await?;
        fleet.push(admin.with_key(&tenant.api_key.key));
    }
    let started = Instant::now();
    let seen = match args.rate {
        None => closed(&args, &fleet).await,
        Some(rate) => open(&args, &fleet, rate).await,
    };
    let elapsed = started.elapsed().as_secs_f64();
    let at = |quantile| seen.latencies.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{:?}, {} clients, {} tenants: {:.0} requests/s; p50 {:.1} ms, p99 {:.1} ms; {} refused",
        args.kind,
        args.clients,
        args.tenants,
        seen.latencies.len() as f64 / elapsed,
        at(0.5),
        at(0.99),
        seen.refused
    );
    Ok(if seen.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Seen {
    /// In microseconds.
    latencies: Histogram<u64>,
    refused: u64,
}

impl Seen {
    fn new() -> Self {
        Self { latencies: Histogram::new_with_max(LONGEST_LATENCY, 3).expect("three digits are allowed"), refused: 0 }
    }

    fn note(&mut self, answered: Option<Duration>) {
        match answered {
            Some(latency) => self.latencies.saturating_record(latency.as_micros() as u64),
            None => self.refused += 1,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).expect("of the same shape");
        self.refused += other.refused;
    }
}

async fn closed(args: &Args, fleet: &[Client]) -> Seen {
    let end = Instant::now() + args.duration;
    let clients = (0..args.clients as usize).map(|first| {
        let (fleet, kind) = (fleet.to_vec(), args.kind);
        tokio::spawn(async move {
            let mut seen = Seen::new();
            for client in fleet.iter().cycle().skip(first) {
                if Instant::now() >= end {
                    break;
                }
                seen.note(ask(client, kind, Instant::now()).await);
            }
            seen
        })
    });
    let mut all = Seen::new();
    for seen in join_all(clients).await {
        all.merge(&seen.expect("no client panics"));
    }
    all
}

async fn open(args: &Args, fleet: &[Client], rate: f64) -> Seen {
    let places = Arc::new(Semaphore::new(args.clients as usize));
    let (mut all, mut requests) = (Seen::new(), JoinSet::new());
    let (phases, start) = ([Phase { rate, to: None, duration: args.duration }], Instant::now());
    let arrivals = Arrivals::new(&phases, Spread::Even, StdRng::seed_from_u64(0));
    for (due, client) in arrivals.zip(fleet.iter().cycle()) {
        let due = start + due;
        sleep_until(due).await;
        while let Some(answered) = requests.try_join_next() {
            all.note(answered.expect("no request panics"));
        }
        let (client, kind, places) = (client.clone(), args.kind, places.clone());
        requests.spawn(async move {
            let _place = places.acquire_owned().await.expect("never closed");
            ask(&client, kind, due).await
        });
    }
    while let Some(answered) = requests.join_next().await {
        all.note(answered.expect("no request panics"));
    }
    all
}

/// How long after it was due the request was answered; `None` when it was refused.
async fn ask(client: &Client, kind: Kind, due: Instant) -> Option<Duration> {
    let answered = match kind {
        Kind::Submit => {
            let submission = Submission::new("How many days do I have to return a jacket that I have not worn?");
            client.submit(&submission).await.map(|_| ())
        }
        Kind::Read => client.call(reqwest::Method::GET, "/v1/usage", None::<&Value>).await.map(|_| ()),
    };
    answered.ok().map(|()| due.elapsed())
}
