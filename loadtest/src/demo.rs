//! The demonstration: a shop gets a tenant, its documents are read, and three questions show what an answer is made of.
//!
//! It fails, rather than smiles, when a document cannot be read, an answer does not come, or one of the three ways an answer
//! arrives by (poll, stream, callback) disagrees with the others.

mod arrival;
mod conversation;
mod ink;
mod knowledge;
mod next_steps;
mod show;
mod timeline;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::client::{Client, NewTenant};
use crate::duration;
use ink::Ink;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Base URL of the API
    #[arg(long, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    pub api_url: String,
    #[arg(long, env = "ADMIN_KEY", hide_env_values = true)]
    pub admin_key: String,
    /// How long the documents may take to become searchable
    #[arg(long, default_value = "3m", value_parser = duration::parse)]
    pub documents_timeout: Duration,
    /// How long one answer may take
    #[arg(long, default_value = "60s", value_parser = duration::parse)]
    pub answer_timeout: Duration,
}

/// Ends in a failure code when something that should have worked did not.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let ink = Ink::for_stdout();
    let admin = Client::new(&args.api_url, &args.admin_key)?;

    let tenant = admin.create_tenant(&shop()).await.with_context(|| format!("no tenant at {}", args.api_url))?;
    println!("{} {} ({})", ink.bold("Tenant"), tenant.name, tenant.id);
    let client = admin.with_key(&tenant.api_key.key);

    let mut flawless = knowledge::load(&client, args.documents_timeout, ink).await?;
    flawless &= conversation::hold(&client, &tenant.callback_secret, args.answer_timeout, ink).await?;

    next_steps::print(&client, ink);
    let outcome = if flawless { ink.green("Done") } else { ink.red("Done, with the problems shown above") };
    println!("\n{outcome} in {:.1} s.", started.elapsed().as_secs_f64());
    Ok(if flawless { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// On a plan that holds all sample documents.
fn shop() -> NewTenant {
    NewTenant { name: "Fellmark Outdoor".into(), plan: Some("starter".into()), ..NewTenant::default() }
}
