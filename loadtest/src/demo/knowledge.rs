//! Loads the sample documents and shows them becoming searchable.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::ink::Ink;
use crate::client::{Client, Document, DocumentStatus};
use crate::samples;

/// False when a document failed; an error when one did not settle in time.
pub(super) async fn load(client: &Client, limit: Duration, ink: Ink) -> anyhow::Result<bool> {
    let started = Instant::now();
    let progress = Progress::new(samples::documents().len() as u64);
    let mut pending = FuturesUnordered::new();
    for sample in samples::documents() {
        let document = sample.upload(client).await.with_context(|| format!("cannot upload {}", sample.file_name))?;
        pending.push(async move { (sample.file_name, client.settled_document(&document.id, limit).await) });
    }

    let (mut chunks, mut failed) = (0, 0);
    while let Some((file_name, settled)) = pending.next().await {
        let document = settled.with_context(|| format!("{file_name} did not become searchable"))?;
        progress.advance(file_name, &document);
        match document.status {
            DocumentStatus::Failed => failed += 1,
            _ => chunks += document.chunk_count.unwrap_or_default(),
        }
    }
    progress.bar.finish_and_clear();
    let ready = samples::documents().len() - failed;
    println!(
        "{} {ready} documents searchable as {chunks} passages after {:.1} s",
        ink.bold("Knowledge"),
        started.elapsed().as_secs_f64()
    );
    if failed > 0 {
        println!("{}", ink.red(&format!("{failed} documents failed")));
    }
    Ok(failed == 0)
}

/// A bar on a terminal, a line per document elsewhere.
struct Progress {
    bar: ProgressBar,
    on_terminal: bool,
}

impl Progress {
    fn new(documents: u64) -> Self {
        let style = ProgressStyle::with_template("Knowledge {bar:32} {pos}/{len} {wide_msg}");
        let bar = ProgressBar::new(documents).with_style(style.expect("the template is well formed"));
        bar.tick();
        Self { bar, on_terminal: stderr().is_terminal() }
    }

    fn advance(&self, file_name: &str, document: &Document) {
        let detail = match (&document.reason, document.chunk_count) {
            (Some(reason), _) => reason.clone(),
            (None, Some(chunks)) => format!("{chunks} passages"),
            (None, None) => String::new(),
        };
        let line = format!("  {:<7} {file_name:<32} {detail}", document.status);
        self.bar.set_message(file_name.to_owned());
        self.bar.inc(1);
        if !self.on_terminal {
            println!("{line}");
        } else if document.status == DocumentStatus::Failed {
            self.bar.println(line);
        }
    }
}
