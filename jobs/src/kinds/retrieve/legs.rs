//! The two ways a passage is found, and how the best are picked from both.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tracing::{Instrument, field};

use super::reranking::Reranked;
use crate::{
    domain::{
        ids::{DocumentId, TenantId},
        retrieval::{Fusion, Ranked, distinct_first, fuse},
    },
    ports::{Collection, Embedder, Found, Hit, Index, Limits, Passage, Place, Query, Reranker, SearchFilter},
    queue::Failure,
    trace,
};

/// Candidates of the word leg, per wanted result: a passage that it ranks low still gets its score. Of five wanted, those beyond the
/// sixtieth changed no ranking of worker/README.md's sets but one place in 700 questions.
pub const CANDIDATES_PER_RESULT: usize = 12;
/// Most candidates of the word leg.
const MAX_CANDIDATES: usize = 400;
/// Passages that may be picked per wanted result, best first: some repeat others, and give way to those after them. The vector leg brings
/// no more: a passage of the word leg has its similarity anyway, and of those that words do not find the more similar one is the better.
pub const PICKED_FROM_PER_RESULT: usize = 4;
/// Those that are read at once. The others are read when these repeat each other too much, and for a reranker.
pub const READ_PER_RESULT: usize = 2;
/// Hits of each leg that the record of a retrieval shows.
const RECORDED: usize = 10;

/// What both legs found for a query, best first.
#[derive(Debug)]
pub struct Legs {
    pub by_vector: Vec<Hit>,
    pub by_text: Vec<Hit>,
    /// Of the query, to the embedding model.
    pub familiarity: f32,
    pub embedded: Duration,
    pub searched: Duration,
    /// What was read of the hits.
    passages: HashMap<Place, Passage>,
}

/// A passage that was picked.
#[derive(Debug)]
pub struct Picked<'a> {
    pub hit: &'a Hit,
    pub passage: &'a Passage,
    /// Fused.
    pub score: f32,
    /// The reranker's, where it read the passage.
    pub rerank_score: Option<f32>,
    /// Ranks in the legs, from 1; absent where a leg did not find it.
    pub vector_rank: Option<usize>,
    pub text_rank: Option<usize>,
    /// BM25, where the words found it.
    pub text_score: Option<f32>,
}

impl Legs {
    /// Embeds a query and searches both legs at once for candidates enough to pick `limit` results from.
    pub async fn search(
        embedder: &dyn Embedder,
        index: &dyn Index,
        tenant: TenantId,
        query: &str,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let embedding =
            tracing::info_span!(target: trace::TARGET, "embed_query", "gen_ai.request.model" = embedder.model());
        let vector = embedder.embed_query(query).instrument(embedding).await?;
        let embedded = started.elapsed();
        let candidates = (limit * CANDIDATES_PER_RESULT).min(MAX_CANDIDATES);
        let searching = tracing::info_span!(
            target: trace::TARGET,
            "search",
            "metachat.search.candidates" = candidates,
            "metachat.search.by_vector" = field::Empty,
            "metachat.search.by_text" = field::Empty,
        );
        // The model of the query is the model of the rows.
        let collection = Collection { tenant, model: embedder.model() };
        let limits = Limits { by_vector: limit * PICKED_FROM_PER_RESULT, by_text: candidates };
        let legs = index.search(collection, Query { text: query, vector: &vector, filter }, limits);
        let Found { by_vector, by_text } = legs.instrument(searching.clone()).await?;
        searching.record("metachat.search.by_vector", by_vector.len());
        searching.record("metachat.search.by_text", by_text.len());
        drop(searching);
        let searched = started.elapsed() - embedded;
        let familiarity = embedder.familiarity(query);
        Ok(Self { by_vector, by_text, familiarity, embedded, searched, passages: HashMap::new() })
    }

    /// Every hit, once for each leg that found it.
    pub fn hits(&self) -> impl Iterator<Item = &Hit> {
        self.by_vector.iter().chain(&self.by_text)
    }

    /// Reads what the best say, enough to pick `limit` results from, and what stands beside the first few of them, where that exists.
    /// Most candidates only lend their score: what they say need not be read.
    pub async fn read_best(
        &mut self,
        index: &dyn Index,
        collection: Collection<'_>,
        limit: usize,
        with_neighbours: usize,
        exists: impl Fn(&Place) -> bool,
    ) -> Result<(), Failure> {
        let best = self.best(limit * READ_PER_RESULT);
        let beside = best.iter().take(with_neighbours).flat_map(|hit| hit.beside()).flatten();
        let hits = best.iter().map(|hit| (hit.place(), hit.row));
        // Where a hit really is counts for more than where it is thought to be.
        let wanted = beside.filter(|(place, _)| exists(place)).chain(hits).collect();
        let places: Vec<Place> = best.iter().map(|hit| hit.place()).collect();
        self.read(index, collection, &wanted).await?;
        let texts: Vec<&str> = places.iter().filter_map(|place| Some(self.passage(*place)?.text.as_str())).collect();
        let (_, distinct) = distinct_first(&texts, limit);
        if distinct < limit { self.read_all(index, collection, limit).await } else { Ok(()) }
    }

    /// Reads whatever may be picked and was not read yet.
    pub async fn read_all(
        &mut self,
        index: &dyn Index,
        collection: Collection<'_>,
        limit: usize,
    ) -> Result<(), Failure> {
        let all = self.best(limit * PICKED_FROM_PER_RESULT).into_iter();
        let left = all.filter(|hit| !self.passages.contains_key(&hit.place())).map(|hit| (hit.place(), hit.row));
        let left = left.collect();
        self.read(index, collection, &left).await
    }

    /// Reads what stands at these places.
    pub async fn read(
        &mut self,
        index: &dyn Index,
        collection: Collection<'_>,
        wanted: &HashMap<Place, u64>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        self.passages.extend(index.passages(collection, wanted).await?);
        self.searched += started.elapsed();
        Ok(())
    }

    /// Has a reranker read the best of what was read.
    pub async fn rerank(&self, reranker: &dyn Reranker, query: &str) -> Reranked {
        let best = self.fused(self.fusion()).into_iter();
        let read = best.filter_map(|(hit, _)| Some((hit.place(), self.passage(hit.place())?)));
        Reranked::of(reranker, query, read.collect()).await
    }

    /// What was read at a place.
    pub fn passage(&self, place: Place) -> Option<&Passage> {
        self.passages.get(&place)
    }

    /// Leaves out hits that may not be shown; returns the versions they are of.
    pub fn retain(&mut self, may_be_shown: impl Fn(&Hit) -> bool) -> Vec<(DocumentId, i32)> {
        let mut hidden = HashSet::new();
        for leg in [&mut self.by_vector, &mut self.by_text] {
            leg.retain(|hit| {
                let shown = may_be_shown(hit);
                if !shown {
                    hidden.insert((hit.document, hit.version));
                }
                shown
            });
        }
        hidden.into_iter().collect()
    }

    /// Whether each leg has hits enough to pick so many from.
    pub fn suffice(&self, limit: usize) -> bool {
        self.by_vector.len() >= limit && self.by_text.len() >= limit
    }

    /// The fusion that is the default for this query.
    pub fn fusion(&self) -> Fusion {
        Fusion::for_familiarity(self.familiarity)
    }

    /// The best of both legs, best first.
    fn best(&self, count: usize) -> Vec<&Hit> {
        self.fused(self.fusion()).into_iter().take(count).map(|(hit, _)| hit).collect()
    }

    /// The hits of both legs, best first, with their fused scores.
    fn fused(&self, fusion: Fusion) -> Vec<(&Hit, f32)> {
        let by_chunk: HashMap<&str, &Hit> = self.hits().map(|hit| (hit.chunk_id.as_str(), hit)).collect();
        let fused = fuse(fusion, &ranked(&self.by_vector), &ranked(&self.by_text));
        fused.into_iter().filter_map(|(chunk, score)| Some((*by_chunk.get(chunk)?, score))).collect()
    }

    /// The best passages of both legs, of those that were read: first those that a reranker read, in its order. Those that repeat a
    /// better one come after those that do not.
    pub fn pick<'a>(&'a self, fusion: Fusion, reranked: Option<&Reranked>, limit: usize) -> Vec<Picked<'a>> {
        let places = |leg: &[Hit]| leg.iter().map(Hit::place).zip(0..).collect::<HashMap<Place, usize>>();
        let (by_vector, by_text) = (places(&self.by_vector), places(&self.by_text));
        let picked = |(hit, score): (&'a Hit, f32)| {
            let (place, text) = (hit.place(), by_text.get(&hit.place()).copied());
            Some(Picked {
                hit,
                passage: self.passage(place)?,
                score,
                rerank_score: reranked.and_then(|reranked| reranked.score(&place)),
                vector_rank: by_vector.get(&place).map(|position| position + 1),
                text_rank: text.map(|position| position + 1),
                text_score: text.map(|position| self.by_text[position].score),
            })
        };
        let mut best: Vec<Picked> = self.fused(fusion).into_iter().filter_map(picked).collect();
        let reranked = |picked: &Picked| picked.rerank_score.unwrap_or(f32::NEG_INFINITY);
        best.sort_by(|one, other| reranked(other).total_cmp(&reranked(one)));
        let texts: Vec<&str> = best.iter().map(|picked| picked.passage.text.as_str()).collect();
        let mut places = vec![0; best.len()];
        for (place, position) in distinct_first(&texts, limit).0.into_iter().enumerate() {
            places[position] = place;
        }
        let mut places = places.into_iter();
        best.sort_by_cached_key(|_| places.next());
        best.truncate(limit);
        best
    }

    /// Who found what, with scores and times.
    pub fn record(&self, query: &str, model: &str, reranked: Option<&Reranked>, picked: &[Picked]) -> Value {
        let fusion = match self.fusion() {
            Fusion::Weighted { share } => json!({ "vector_share": share }),
            Fusion::ReciprocalRank => json!("reciprocal_rank"),
        };
        let found: Vec<Value> = picked
            .iter()
            .map(|picked| {
                json!({
                    "chunk": picked.hit.chunk_id,
                    "score": picked.score,
                    "rerank_score": picked.rerank_score,
                    "similarity": picked.hit.similarity,
                    "text_score": picked.text_score,
                    "vector_rank": picked.vector_rank,
                    "text_rank": picked.text_rank,
                })
            })
            .collect();
        json!({
            "query": query,
            "model": model,
            "familiarity": self.familiarity,
            "fusion": fusion,
            "reranked": reranked.map(Reranked::record),
            "embed_ms": self.embedded.as_secs_f64() * 1000.0,
            "search_ms": self.searched.as_secs_f64() * 1000.0,
            "candidates": { "vector": self.by_vector.len(), "text": self.by_text.len() },
            "vector": leg(&self.by_vector),
            "text": leg(&self.by_text),
            "found": found,
        })
    }
}

fn ranked(hits: &[Hit]) -> Vec<Ranked<'_>> {
    hits.iter().map(|hit| Ranked { chunk: &hit.chunk_id, similarity: hit.similarity, score: hit.score }).collect()
}

/// A leg's best.
fn leg(hits: &[Hit]) -> Value {
    hits.iter().take(RECORDED).map(|hit| json!({ "chunk": hit.chunk_id, "score": hit.score })).collect()
}
