//! `metachat-worker`: runs jobs.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jobs::domain::ids::TenantId;
use jobs::trace::{self, export::Export};
use tracing_subscriber::{EnvFilter, Layer};
use worker::{
    WorkerConfig, bench,
    engines::{
        index::{self, IndexConfig},
        reader,
    },
    evaluation,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(name = "metachat-worker", version, about = "Runs metachat's jobs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Claims and runs jobs until SIGTERM.
    Run(Box<WorkerConfig>),
    /// Drops all tables of a tenant's search index, such as one that cannot be read; `metachat index rebuild` makes them again.
    DropIndex {
        #[arg(long)]
        tenant: TenantId,
        #[command(flatten)]
        index: IndexConfig,
    },
    /// Measures the engines.
    #[command(subcommand)]
    Bench(bench::Command),
    /// Measures retrieval on question sets.
    EvalRetrieval(evaluation::Args),
    /// Reads one document from stdin and writes its passages to stdout; used by `run`, in a process with limits.
    Extract(reader::Extract),
}

fn main() -> ExitCode {
    ignore_empty_variables();
    keep_the_runtime_silent();
    match Cli::parse().command {
        Command::Extract(extract) => reader::extract_main(extract),
        Command::DropIndex { tenant, index } => exit(drop_index(tenant, &index)),
        Command::Bench(command) => exit(measure(command)),
        Command::EvalRetrieval(args) => exit(evaluate(args)),
        Command::Run(config) => exit(run(*config)),
    }
}

fn exit(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metachat-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An empty variable is an unset one: compose files pass empty strings for what nobody chose.
fn ignore_empty_variables() {
    for (name, value) in std::env::vars_os() {
        if value.is_empty() {
            // SAFETY: called first thing in main, before any other thread exists.
            unsafe { std::env::remove_var(name) };
        }
    }
}

/// The wheels' build of ONNX Runtime reports its use to its maker; a worker calls nobody whom the operator did not name.
fn keep_the_runtime_silent() {
    // SAFETY: called in main, before any other thread exists.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}

#[tokio::main]
async fn run(config: WorkerConfig) -> anyhow::Result<()> {
    // Two providers are in the dependency graph; without a choice the first TLS connection panics.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed already"))?;
    logged(worker::run(config)).await
}

#[tokio::main]
async fn measure(command: bench::Command) -> anyhow::Result<()> {
    logged(bench::run(command)).await
}

#[tokio::main]
async fn evaluate(args: evaluation::Args) -> anyhow::Result<()> {
    logged(evaluation::run(args)).await
}

#[tokio::main]
async fn drop_index(tenant: TenantId, config: &IndexConfig) -> anyhow::Result<()> {
    logged(index::drop_tenant(config, tenant)).await
}

/// What is logged unless `RUST_LOG` says otherwise: the engines' own steps are not the operator's.
const LOG_FILTER: &str = "info,lance=warn,lancedb=warn,apalis_core=warn,ort=warn,genai=off";

/// Does something with log lines, and spans where they are exported.
async fn logged(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let export = start_logging()?;
    let ended = work.await;
    export.flush().await;
    ended
}

fn start_logging() -> anyhow::Result<Export> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let lines = if std::env::var("LOG_FORMAT").is_ok_and(|format| format == "text") {
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).boxed()
    } else {
        tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr).boxed()
    };
    trace::install("metachat-worker", lines, filter).map_err(anyhow::Error::msg)
}
