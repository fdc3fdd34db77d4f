//! What the pipeline cannot do without, each measured alone: the embedding of a question and a POST over loopback. The third, a
//! transaction with one insert, is pgbench's; `scripts/bench_pipeline` puts them together.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Utc;
use futures::future::join_all;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use tokio::time::Instant;

use crate::client::{Client, Search};
use crate::load::{Observer, Product, unlimited};
use crate::receiver::{Behaviour, Receiver};
use crate::target::refuse_remote;

const SEARCHES: usize = 100;
const POSTERS: usize = 8;
const POSTING: Duration = Duration::from_secs(3);
/// As long as an event of an answer.
const BODY_BYTES: usize = 700;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub product: Product,
}

/// Prints `embedding_ms` and `post_ms`, the time one takes of a machine that does nothing else.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    refuse_remote(&args.product.api_url)?;
    println!("embedding_ms {:.3}", embedding_ms(&args.product).await?);
    println!("post_ms {:.3}", post_ms().await?);
    Ok(ExitCode::SUCCESS)
}

/// Searches one at a time, none asked before; the worker says what the embedding of each took.
async fn embedding_ms(product: &Product) -> anyhow::Result<f64> {
    let admin = Client::new(&product.api_url, &product.admin_key)?;
    let tenant = admin.create_tenant(&unlimited("Floor")).await.context("cannot create a tenant")?;
    let client = admin.with_key(&tenant.api_key.key);
    let observer = Observer::new(product.metrics_urls.clone(), Vec::new())?;
    let (before, _) = observer.look().await;
    let run = Utc::now().timestamp();
    for number in 0..SEARCHES {
        let query = format!("How many days do I have to return order {run}-{number}?");
        client.search(&Search { query, ..Search::default() }).await?;
    }
    let (after, _) = observer.look().await;
    let count = after.total_rise(&before, "metachat_embed_query_seconds_count");
    ensure!(count >= SEARCHES as f64, "the workers' metrics do not show the searches: give METRICS_URLS");
    Ok(after.total_rise(&before, "metachat_embed_query_seconds_sum") / count * 1e3)
}

/// Posts from a few senders at once, so that neither side waits for the other.
async fn post_ms() -> anyhow::Result<f64> {
    let receiver = Receiver::counting(Behaviour::default()).await?;
    let http = reqwest::Client::builder().no_proxy().timeout(POSTING).build()?;
    let body = json!({ "type": "message.sent", "data": "x".repeat(BODY_BYTES) }).to_string();
    let start = Instant::now();
    let senders = (0..POSTERS).map(|sender| {
        let (http, url, body) = (http.clone(), receiver.url(), body.clone());
        tokio::spawn(async move {
            let mut number = 0_u64;
            while start.elapsed() < POSTING {
                let id = format!("{sender}-{number}");
                let post = http.post(&url).header(CONTENT_TYPE, "application/json").header("webhook-id", id);
                post.body(body.clone()).send().await?.error_for_status()?;
                number += 1;
            }
            Ok::<_, reqwest::Error>(number)
        })
    });
    let mut posts = 0;
    for sender in join_all(senders).await {
        posts += sender.context("a sender panicked")??;
    }
    Ok(start.elapsed().as_secs_f64() * 1e3 / posts.max(1) as f64)
}
