//! Measures retrieval on question sets, with the product's own embedder, index and fusion.
//!
//! A set is a file of lines of JSON: `{"passage": {"id": "p1", "text": "…"}}` (with `heading`, when there is one) and
//! `{"question": {"text": "…", "relevant": ["p1"]}}`. Its passages are stored in a table of their own, which is gone
//! afterwards; each question is searched once, and every configuration ranks the same candidates.

mod configuration;
mod quality;
mod set;

use std::{collections::HashMap, path::PathBuf};

use anyhow::Context;
use jobs::{
    domain::{
        ids::{DocumentId, TenantId},
        retrieval::DEFAULT_LIMIT,
    },
    kinds::retrieve::Legs,
    ports::{Chunk, Collection, Embedder, Index, Place, SearchFilter, headed},
};

use self::{configuration::Configuration, quality::Quality, set::QuestionSet};
use crate::engines::{
    embedder::{EmbedderConfig, OnnxEmbedder},
    index::{IndexConfig, LanceIndex},
    reranker::{OnnxReranker, RerankerConfig},
};

/// Passages embedded and stored at a time.
const BATCH: usize = 256;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Question sets, as lines of JSON.
    #[arg(required = true)]
    sets: Vec<PathBuf>,
    /// Most questions taken of a set, evenly spread.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    questions: u32,
    /// Also try other weights of the legs.
    #[arg(long)]
    weights: bool,
    /// Where tables are made, and removed again.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    #[command(flatten)]
    embedder: EmbedderConfig,
    #[command(flatten)]
    reranker: RerankerConfig,
}

/// Prints a table for each set.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let embedder = OnnxEmbedder::connect(&args.embedder).await?;
    let reranker = OnnxReranker::connect(&args.reranker).await?;
    let uri = args.folder.join(format!("eval-retrieval-{}", std::process::id())).display().to_string();
    let config = IndexConfig { lancedb_uri: uri.clone() };
    let index = LanceIndex::connect(&config).await?;
    for path in &args.sets {
        let set = QuestionSet::read(path, args.questions as usize).with_context(|| path.display().to_string())?;
        let tenant = TenantId::generate();
        let passages = store(&embedder, &index, tenant, &set).await?;
        let mut found = Vec::with_capacity(set.questions.len());
        for question in &set.questions {
            let all = SearchFilter::default();
            let mut legs = Legs::search(&embedder, &index, tenant, &question.text, &all, DEFAULT_LIMIT).await?;
            // Whatever any configuration may pick.
            let hits = legs.hits().map(|hit| (hit.place(), hit.row)).collect();
            legs.read(&index, Collection { tenant, model: embedder.model() }, &hits).await?;
            let reranked = match &reranker {
                Some(reranker) => Some(legs.rerank(reranker, &question.text).await),
                None => None,
            };
            found.push((legs, reranked));
        }
        index.erase_tenant(tenant).await?;

        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        println!("\n{name}: {} passages, {} questions, {}", passages.len(), found.len(), embedder.model());
        println!("{}", quality::HEAD);
        for configuration in Configuration::all(args.weights, reranker.is_some()) {
            let rankings = found.iter().zip(&set.questions).map(|((legs, reranked), question)| {
                let ranked = configuration.rank(legs, reranked.as_ref(), quality::DEPTH);
                let ids = ranked.iter().filter_map(|chunk| passages.get(*chunk));
                ids.map(|id| question.relevant.contains(id)).collect()
            });
            let relevant = set.questions.iter().map(|question| question.relevant.len());
            println!("{}", Quality::of(rankings, relevant).row(&configuration.name()));
        }
    }
    std::fs::remove_dir_all(&uri).with_context(|| uri)
}

/// Embeds and stores every passage as one chunk; returns the passage's id by the chunk's.
async fn store(
    embedder: &OnnxEmbedder,
    index: &LanceIndex,
    tenant: TenantId,
    set: &QuestionSet,
) -> anyhow::Result<HashMap<String, String>> {
    let collection = Collection { tenant, model: embedder.model() };
    let mut ids = HashMap::new();
    for batch in set.passages.chunks(BATCH) {
        let document = DocumentId::generate();
        let texts = batch.iter().map(|passage| headed(passage.heading.as_deref(), &passage.text)).collect();
        let vectors = embedder.embed_documents(texts).await?;
        let chunks = batch.iter().zip(vectors).zip(0..).map(|((passage, vector), position)| Chunk {
            position,
            text: passage.text.clone(),
            heading: passage.heading.clone(),
            page: None,
            tags: Vec::new(),
            language: None,
            vector,
        });
        index.add(collection, document, 1, chunks.collect()).await?;
        let places = (0..).map(|position| Place { document, version: 1, position });
        ids.extend(places.zip(batch).map(|(place, passage)| (place.chunk_id(), passage.id.clone())));
    }
    index.maintain(collection).await?;
    Ok(ids)
}
