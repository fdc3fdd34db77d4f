//! The `loadtest` command: demonstration, load and fake servers in one binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use loadtest::{demo, fake_model, receiver, requests, steady};

#[derive(Parser)]
#[command(version, about = "Shows, loads and surrounds metachat, over HTTP only")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Creates a shop, loads its documents and asks three questions
    Demo(demo::Args),
    /// Serves an OpenAI-compatible model whose faults and pace are chosen here
    FakeModel(fake_model::Args),
    /// Receives webhooks, checks their signatures and prints one line for each
    ReceiveWebhooks(receiver::Args),
    /// Sends requests, without following their messages, and reports rate and latencies: what the api itself carries
    Requests(requests::Args),
    /// Sends messages at a constant rate and reports the latencies
    Steady(steady::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider().install_default().expect("no TLS provider is installed before main");

    let outcome = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
        Command::FakeModel(args) => fake_model::run(args).await,
        Command::ReceiveWebhooks(args) => receiver::run(args).await,
        Command::Requests(args) => requests::run(args).await,
        Command::Steady(args) => steady::run(args).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("loadtest: {error:#}");
        ExitCode::FAILURE
    })
}
