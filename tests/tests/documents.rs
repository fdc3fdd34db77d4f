//! Documents through the whole system: what is read, how long it takes others, and what a crash costs.

mod fairness;
mod hostile;
mod resume;
mod versions;

use std::time::Duration;

use loadtest::client::{Client, Document, FileUpload};
use reqwest::Method;
use serde_json::Value;
use tests::{Stack, WorkerHandle, eventually};

/// For what takes a moment on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

async fn upload(client: &Client, name: &str, content_type: &str, bytes: Vec<u8>) -> Document {
    let (file_name, content_type) = (name.to_owned(), content_type.to_owned());
    client.upload_file(FileUpload { file_name, content_type, bytes, ..FileUpload::default() }).await.expect("an upload")
}

/// A document as the API shows it.
async fn show(client: &Client, id: &str, query: &str) -> Value {
    client.call(Method::GET, &format!("/v1/documents/{id}{query}"), None).await.expect("the document").body
}

/// Markdown of so many sections, each of which becomes a passage of its own.
fn sections(count: usize) -> String {
    (0..count).map(|n| format!("## Part {n}\n\nPart number {n} of the tent weighs {n} grams.\n\n")).collect()
}

/// The sum of a metric's lines.
async fn metric(worker: &WorkerHandle, name: &str) -> f64 {
    let url = format!("{}/metrics", worker.probes);
    let text = reqwest::get(url).await.expect("metrics").text().await.expect("metrics");
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
