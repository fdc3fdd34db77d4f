//! The best of both legs, put in order by a model that reads them beside the question.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::ports::{Passage, Place, RerankError, Reranker, headed};

/// Passages that the model reads for a question at most, best first. Each takes a model about as long as one to embed.
const MAX_RERANKED: usize = 40;

/// What the model says of passages, or why it says nothing.
#[derive(Debug)]
pub struct Reranked {
    model: String,
    took: Duration,
    scores: Result<HashMap<Place, f32>, RerankError>,
}

impl Reranked {
    /// Has the model read the first of these passages, 40 at most. Without its word the order stays as it is.
    pub async fn of(reranker: &dyn Reranker, query: &str, best: Vec<(Place, &Passage)>) -> Self {
        let started = Instant::now();
        let best = best.into_iter().take(MAX_RERANKED);
        let (places, texts): (Vec<Place>, Vec<String>) =
            best.map(|(place, passage)| (place, headed(passage.heading.as_deref(), &passage.text))).unzip();
        let scores = reranker.score(query, texts).await.map(|scores| places.into_iter().zip(scores).collect());
        let took = started.elapsed();
        metrics::histogram!("metachat_rerank_seconds").record(took.as_secs_f64());
        if let Err(error) = &scores {
            metrics::counter!("metachat_rerank_failures_total").increment(1);
            tracing::warn!(%error, "a search goes on without the reranker");
        }
        Self { model: reranker.model().to_owned(), took, scores }
    }

    /// The score of what stands at a place, if it was read.
    pub fn score(&self, place: &Place) -> Option<f32> {
        self.scores.as_ref().ok()?.get(place).copied()
    }

    /// For the record of a retrieval.
    pub fn record(&self) -> Value {
        let took = self.took.as_secs_f64() * 1000.0;
        match &self.scores {
            Ok(scores) => json!({ "model": self.model, "ms": took, "passages": scores.len() }),
            Err(error) => json!({ "model": self.model, "ms": took, "error": error.to_string() }),
        }
    }
}
