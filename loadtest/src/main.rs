//! The `loadtest` command: demonstration, load and fake servers in one binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use loadtest::{collector, demo, fake_model, floor, load, plan, receiver, requests};

#[derive(Parser)]
#[command(version, about = "Shows, loads and surrounds metachat, over HTTP only")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Takes spans as an OpenTelemetry collector does and draws each trace as a tree
    CollectTraces(collector::Args),
    /// Creates a shop, loads its documents and asks three questions
    Demo(demo::Args),
    /// Serves an OpenAI-compatible model whose faults and pace are chosen here
    FakeModel(fake_model::Args),
    /// Measures alone what an answer cannot do without: an embedding, a POST
    Floor(floor::Args),
    /// Says, from a measured run, what a rate needs: replicas, slots, connections, memory and money, and what gives out first
    Plan(Box<plan::Args>),
    /// Receives webhooks, checks their signatures and prints one line for each
    ReceiveWebhooks(receiver::Args),
    /// Sends requests, without following their messages, and reports rate and latencies: what the api itself carries
    Requests(requests::Args),
    /// Runs a scenario and reports latencies, throughput, queue and processes; fails when a limit of the scenario is passed
    Run(Box<load::Args>),
    /// Lists the scenarios that come with the program
    Scenarios,
    /// Prints the settings that the workers need for a scenario, for a shell
    Environment { scenario: String },
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no TLS provider is installed before main");

    let outcome = match Cli::parse().command {
        Command::CollectTraces(args) => collector::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::FakeModel(args) => fake_model::run(args).await,
        Command::ReceiveWebhooks(args) => receiver::run(args).await,
        Command::Requests(args) => requests::run(args).await,
        Command::Run(args) => load::run(*args).await,
        Command::Floor(args) => floor::run(args).await,
        Command::Plan(args) => plan::run(*args).await,
        Command::Scenarios => load::list(),
        Command::Environment { scenario } => load::environment(&scenario),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadtest: {error:#}");
        ExitCode::FAILURE
    })
}
