//! What embedding costs.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use jobs::ports::Embedder;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    clock::{self, Times, median},
    raw::{Batch, Raw},
    texts,
};
use crate::engines::embedder::{EmbedderConfig, OnnxEmbedder};

/// Runs of each, which take turns.
const ROUNDS: usize = 5;
/// Texts in one call of ONNX Runtime alone.
const RAW_BATCHES: [usize; 2] = [1, 16];
/// Documents embedded at once: as many as a worker has slots for them.
const DOCUMENTS: usize = 4;
/// Passages of a call, as the job makes it.
const CALL: usize = 16;
const QUERIES: usize = 300;
const QUERIES_A_SECOND: u32 = 50;

pub async fn run(passages: u32, config: &EmbedderConfig) -> anyhow::Result<()> {
    let passages = texts::passages(passages);
    let embedder = OnnxEmbedder::connect(config).await?;
    let threads = usize::from(config.embedding_intra_threads);
    let mut raw = Raw::load(&config.embedding_model_dir, threads)?;
    println!(
        "\nembed: {} passages, {} session and {threads} thread, {}",
        passages.len(),
        config.embedding_sessions,
        embedder.model()
    );
    let mut ours = Vec::new();
    let mut alone = RAW_BATCHES.map(|_| Vec::new());
    let batches: Vec<Vec<Batch>> = RAW_BATCHES
        .iter()
        .map(|size| passages.chunks(*size).map(|texts| raw.tokenize(texts)).collect())
        .collect::<anyhow::Result<_>>()?;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        embed(&embedder, &passages).await?;
        ours.push(rate(passages.len(), started));
        for (batches, rates) in batches.iter().zip(&mut alone) {
            let started = Instant::now();
            tokio::task::block_in_place(|| batches.iter().try_for_each(|batch| raw.run(batch)))?;
            rates.push(rate(passages.len(), started));
        }
    }
    let ours = median(&mut ours);
    println!("  passages a second, median of {ROUNDS}: {ours:.1}");
    for (size, rates) in RAW_BATCHES.iter().zip(&mut alone) {
        let alone = median(rates);
        println!("  ONNX Runtime alone, tokens ready, {size} a call: {alone:.1}; ours / that: {:.3}", ours / alone);
    }

    let questions = texts::questions(3 * QUERIES);
    let mut times = Times::default();
    for question in &questions[..QUERIES] {
        times.note(embedder.embed_query(question)).await?;
    }
    clock::head("query, ms");
    times.print("alone, one after the other");
    let mut times = Times::default();
    for _ in 0..QUERIES {
        times.note(embedder.embed_query(&questions[0])).await?;
    }
    times.print("the same one again");

    let times = tokio::select! {
        failed = embed_on(&embedder, &passages) => return Err(failed),
        times = open_loop(&embedder, &questions[QUERIES..]) => times?,
    };
    times.print(&format!("{QUERIES_A_SECOND}/s beside documents ({})", times.len()));
    Ok(())
}

/// As many documents at once as a worker has slots for.
async fn embed(embedder: &OnnxEmbedder, passages: &[String]) -> anyhow::Result<()> {
    let mut calls = stream::iter(passages.chunks(CALL))
        .map(|texts| embedder.embed_documents(texts.to_vec()))
        .buffer_unordered(DOCUMENTS);
    while let Some(done) = calls.next().await {
        done?;
    }
    Ok(())
}

/// Embeds without an end but an error.
async fn embed_on(embedder: &OnnxEmbedder, passages: &[String]) -> anyhow::Error {
    loop {
        if let Err(error) = embed(embedder, passages).await {
            return error;
        }
    }
}

/// Each query at its time, whatever became of those before it.
async fn open_loop(embedder: &OnnxEmbedder, questions: &[String]) -> anyhow::Result<Times> {
    let mut ticks = interval(Duration::from_secs(1) / QUERIES_A_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut asked = stream::FuturesUnordered::new();
    let mut times = Times::default();
    let mut left = questions.iter();
    loop {
        tokio::select! {
            tick = ticks.tick(), if left.len() > 0 => {
                let Some(question) = left.next() else { continue };
                asked.push(async move { embedder.embed_query(question).await.map(|_| tick.elapsed()) });
            }
            Some(time) = asked.next() => times.push(time?),
            else => return Ok(times),
        }
    }
}

fn rate(count: usize, started: Instant) -> f64 {
    count as f64 / started.elapsed().as_secs_f64()
}
