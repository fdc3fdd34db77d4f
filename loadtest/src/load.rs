//! Load as an open model: arrivals come when the scenario says, whatever became of the earlier ones, and every latency counts
//! from the moment the arrival was due, so that a stalled product cannot hide its stall by slowing its own load down.

mod arrivals;
mod fleet;
mod flight;
mod generator;
mod observe;
mod progress;
mod report;
mod scenario;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::{SecondsFormat, Utc};
use futures::future::{join_all, try_join_all};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::duration;
use crate::fake_model::{self, FakeModel};
use crate::receiver::Counts;
use crate::target::refuse_remote;
pub(crate) use arrivals::{Arrivals, Spread};
pub(crate) use fleet::unlimited;
pub use observe::{Process, ProcessSample, Stage};
pub use report::Report;
pub(crate) use report::table;
pub use scenario::{Load, Phase, Scenario};
pub(crate) use tally::LONGEST_LATENCY;

use fleet::Fleet;
use generator::Generator;
pub(crate) use observe::Observer;
use observe::Totals;
use progress::Watched;
use report::{LoadReport, RunTotals};
use tally::Tally;

/// How long the product is watched with nothing to do, before the load begins.
const IDLE: Duration = Duration::from_secs(3);
/// Longest wait for deliveries after the last message came to its end.
const SETTLE: Duration = Duration::from_secs(20);
/// Longest wait for the answer that shows whether the workers ask the fake model.
const PROBE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A scenario that comes with the program (see `loadtest scenarios`), or a file
    pub scenario: String,
    #[command(flatten)]
    pub product: Product,
    /// Replaces the first load's phases by one of this rate
    #[arg(long)]
    pub rate: Option<f64>,
    /// Replaces the first load's phases by one of this duration
    #[arg(long, value_parser = duration::parse)]
    pub duration: Option<Duration>,
    /// Decides when Poisson arrivals come
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Writes the report as JSON, which `loadtest plan` reads
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Writes the report as a page
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// What is loaded, and what is watched meanwhile.
#[derive(Clone, Debug, clap::Args)]
pub struct Product {
    /// Base URL of the API; only this machine may be loaded
    #[arg(long, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    pub api_url: String,
    #[arg(long, env = "ADMIN_KEY", hide_env_values = true)]
    pub admin_key: String,
    /// Metrics endpoints of api and workers, comma-separated
    #[arg(long, env = "METRICS_URLS", value_delimiter = ',')]
    pub metrics_urls: Vec<String>,
    /// A process whose CPU and memory are reported, as name=pid; may be repeated
    #[arg(long = "process")]
    pub processes: Vec<Process>,
    /// How long the documents of the tenants may take to become searchable
    #[arg(long, default_value = "5m", value_parser = duration::parse)]
    pub documents_timeout: Duration,
}

/// Runs a scenario, prints and writes its report. Ctrl-C ends the load early and still reports.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut scenario = read(&args.scenario)?;
    if args.rate.is_some() || args.duration.is_some() {
        let load = &mut scenario.loads[0];
        let rate = args.rate.unwrap_or(load.phases[0].rate);
        let duration = args.duration.unwrap_or_else(|| load.duration());
        load.phases = vec![Phase { rate, to: None, duration }];
        scenario.check().context("--rate or --duration makes no sense")?;
    }
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let name = args.scenario.rsplit('/').next().unwrap_or_default().trim_end_matches(".toml");
    let report = perform(name, &scenario, &args.product, args.seed, &stop).await?;
    println!("\n{}", report::text(&report));
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| format!("cannot write {path:?}"))?;
    }
    if let Some(path) = &args.html {
        std::fs::write(path, report::page(&report)).with_context(|| format!("cannot write {path:?}"))?;
    }
    Ok(if report.kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads a scenario by its name or from a file.
pub fn read(name: &str) -> anyhow::Result<Scenario> {
    if let Some(text) = scenario::shipped(name) {
        return Scenario::parse(name, text);
    }
    let names = scenario::NAMES.join(", ");
    let text = std::fs::read_to_string(name).with_context(|| format!("no file {name:?}, and no scenario: {names}"))?;
    Scenario::parse(name, &text)
}

/// Prints the scenarios that come with the program.
pub fn list() -> anyhow::Result<ExitCode> {
    for name in scenario::NAMES {
        println!("{name:<20} {}", read(name)?.description);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints, for a shell, the settings that the workers need for a scenario.
pub fn environment(name: &str) -> anyhow::Result<ExitCode> {
    for (variable, value) in read(name)?.environment {
        println!("export {variable}='{}'", value.replace('\'', r"'\''"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prepares the tenants, sends the load and says what it showed.
pub(crate) async fn perform(
    name: &str,
    scenario: &Scenario,
    product: &Product,
    seed: u64,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    refuse_remote(&product.api_url)?;
    ensure!(!stop.is_cancelled(), "interrupted before the load began");
    let admin = Client::new(&product.api_url, &product.admin_key)?;
    let model = open_model(scenario).await?;
    let prepared = Instant::now();
    println!("preparing {} tenants …", scenario.loads.iter().map(|load| load.tenants).sum::<u32>());
    let launches = scenario.loads.iter().map(|load| Fleet::launch(&admin, load, product.documents_timeout));
    let fleets = tokio::select! {
        fleets = try_join_all(launches) => fleets?,
        () = stop.cancelled() => bail!("interrupted before the load began"),
    };
    if let Some(model) = &model {
        meets_model(fleets[0].client(), model).await?;
    }
    println!("ready after {:.1} s; {}", prepared.elapsed().as_secs_f64(), scenario.description);

    let me = Process { name: "loadtest".to_owned(), pid: std::process::id() };
    let watched = product.processes.iter().cloned().chain([me]).collect();
    let observer = Arc::new(Observer::new(product.metrics_urls.clone(), watched)?);
    let (idle, began) = (observer.look().await.0, Utc::now());
    sleep(IDLE).await;
    let (before, _) = observer.look().await;

    let start = Instant::now();
    let samples = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(observer.clone().watch(start, samples.clone()));
    let after_load = tokio::spawn(look_at(observer.clone(), start + scenario.duration()));
    let tallies = send(scenario, &fleets, start, seed, stop).await;
    settle(scenario, &fleets, &tallies).await;
    watching.abort();
    let (last, _) = observer.look().await;
    let after = if after_load.is_finished() { after_load.await.unwrap_or_default() } else { last.clone() };

    let samples = std::mem::take(&mut *samples.lock().expect("no holder panics"));
    let mut processes = after.processes_since(&before);
    for (name, process) in &mut processes {
        let seen = samples.iter().filter_map(|sample| sample.processes.get(name));
        process.resident_mb = seen.map(|sample| sample.resident_mb).fold(process.resident_mb, f64::max);
    }
    let tokens = |kind| last.labelled_rise(&before, "metachat_model_tokens_total", "type", kind);
    let loads = scenario.loads.iter().zip(&tallies).zip(&fleets).map(|((load, tally), fleet)| {
        LoadReport::new(load, &tally.lock().expect("no holder panics"), received(fleet).as_ref())
    });
    let report = Report {
        scenario: name.to_owned(),
        description: scenario.description.clone(),
        began: began.to_rfc3339_opts(SecondsFormat::Secs, true),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        load_seconds: scenario.duration().as_secs_f64().min(start.elapsed().as_secs_f64()),
        model_latency_ms: scenario.model.as_ref().map_or(0.0, |model| model.latency.as_secs_f64() * 1e3),
        loads: loads.collect(),
        stages: last.stages_since(&before),
        processes,
        idle: before.processes_since(&idle),
        totals: RunTotals {
            jobs: last.total_rise(&before, "metachat_job_run_seconds_count"),
            embed_mean_ms: last.total_rise(&before, "metachat_embed_query_seconds_sum") * 1e3
                / last.total_rise(&before, "metachat_embed_query_seconds_count").max(1.0),
            prompt_tokens: tokens("prompt"),
            completion_tokens: tokens("completion"),
            ..RunTotals::default()
        },
        samples,
        limits: Vec::new(),
    };
    Ok(report.conclude(scenario))
}

async fn look_at(observer: Arc<Observer>, moment: Instant) -> Totals {
    tokio::time::sleep_until(moment).await;
    observer.look().await.0
}

/// Runs every load to its end.
async fn send(
    scenario: &Scenario,
    fleets: &[Fleet],
    start: Instant,
    seed: u64,
    stop: &CancellationToken,
) -> Vec<Arc<Mutex<Tally>>> {
    let (mut generators, mut watched, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (load, fleet)) in scenario.loads.iter().zip(fleets).enumerate() {
        let (load, tally) = (Arc::new(load.clone()), Arc::new(Mutex::new(Tally::new(start))));
        watched.push(Watched { load: load.clone(), tally: tally.clone() });
        tallies.push(tally.clone());
        let generator = Generator {
            load,
            fleet: fleet.clone(),
            follow: scenario.follow,
            max_in_flight: scenario.max_in_flight,
            seed: seed.wrapping_add(number as u64),
            tally,
        };
        generators.push(generator.run(start, stop.clone()));
    }
    let progress = tokio::spawn(progress::show(watched, start));
    join_all(generators).await;
    progress.abort();
    tallies
}

/// Waits for the deliveries that are due, where the scenario wants to see them.
async fn settle(scenario: &Scenario, fleets: &[Fleet], tallies: &[Arc<Mutex<Tally>>]) {
    let expected = |number: usize| tallies[number].lock().expect("no holder panics").answered();
    let all_came = || {
        (0..fleets.len())
            .filter(|&number| scenario.loads[number].limits.min_delivered_ratio.is_some())
            .all(|number| received(&fleets[number]).is_none_or(|counts| counts.accepted >= expected(number)))
    };
    let waited = timeout(SETTLE, async {
        while !all_came() {
            sleep(Duration::from_millis(100)).await;
        }
    });
    if waited.await.is_err() {
        println!("some deliveries did not come within {SETTLE:?}");
    }
}

/// What the receivers of a load got; `None` when it has none.
fn received(fleet: &Fleet) -> Option<Counts> {
    fleet.receivers().map(|receiver| receiver.counts()).reduce(|mut sum, counts| {
        sum.merge(&counts);
        sum
    })
}

async fn open_model(scenario: &Scenario) -> anyhow::Result<Option<FakeModel>> {
    let Some(model) = &scenario.model else { return Ok(None) };
    let config = fake_model::Config {
        bind: ([127, 0, 0, 1], model.port).into(),
        latency: model.latency,
        latency_p99: (!model.latency_p99.is_zero()).then_some(model.latency_p99),
        tokens_per_second: model.tokens_per_second,
        token_jitter: model.token_jitter,
        error_rate: model.error_rate,
        rate_limit_rate: model.rate_limit_rate,
        malformed_rate: model.malformed_rate,
        ..fake_model::Config::default()
    };
    let started = FakeModel::start(config).await;
    Ok(Some(started.with_context(|| format!("the fake model cannot listen on port {}", model.port))?))
}

/// Fails when the workers answer without asking the fake model: the run would measure something else.
async fn meets_model(client: &Client, model: &FakeModel) -> anyhow::Result<()> {
    let submitted = client.submit(&crate::client::Submission::new("Do you ask the model?")).await?;
    // However it ends: a model that fails on purpose may fail this one.
    let _ = client.final_message(&submitted.message.id, PROBE).await;
    ensure!(
        model.served() > 0,
        "the workers do not ask the fake model at {}: start them with what `loadtest environment` prints, as `make load` does",
        model.base_url()
    );
    Ok(())
}
