//! One tenant with many chunks.

use std::time::Instant;

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Collection, Embedding, Hit, Index, SearchFilter, Versions},
};

use super::{
    Place,
    clock::{self, Times},
    search::{BY_VECTOR, BY_WORDS, search},
    vectors::Clusters,
};
use crate::engines::index::LanceIndex;

pub const MODEL: &str = "bench@00000000";
/// Chunks of a document.
const PER_DOCUMENT: usize = 500;
/// Results that recall is counted over.
const DEPTH: usize = 10;
/// Searches measured, after as many that are not; those whose recall is counted.
const SEARCHES: usize = 300;
const RECALLED: usize = 100;

pub async fn run(chunks: u32, place: &Place) -> anyhow::Result<()> {
    let (index, folder) = place.open().await?;
    let tenant = TenantId::generate();
    let collection = Collection { tenant, model: MODEL };
    let mut clusters = Clusters::of(chunks as usize, 1);

    let started = Instant::now();
    let documents = fill(&index, collection, &mut clusters, chunks as usize).await?;
    println!("\nindex: {chunks} chunks of one tenant, {} documents; made vectors, in clusters", documents.len());
    println!("  added in {:.1} s, {PER_DOCUMENT} chunks at a time", started.elapsed().as_secs_f64());
    let queries: Vec<_> = (0..SEARCHES).map(|_| (clusters.vector(), clusters.words())).collect();
    let all = SearchFilter::default();

    let started = Instant::now();
    index.maintain(collection).await?;
    println!("  indexed in {:.1} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    index.maintain(collection).await?;
    println!("  looked after again, with nothing to do, in {:.3} s", started.elapsed().as_secs_f64());

    let vectors = queries.iter().take(RECALLED).map(|(vector, _)| vector);
    let exact = nearest(vectors.collect(), Clusters::of(chunks as usize, 1), chunks as usize, &documents);
    let mut same = 0;
    for ((vector, _), exact) in queries.iter().zip(&exact) {
        same += ids(index.search_vector(collection, vector, &all, BY_VECTOR).await?)
            .iter()
            .take(DEPTH)
            .filter(|id| exact.contains(*id))
            .count();
    }
    let wanted: usize = exact.iter().map(Vec::len).sum();
    println!("  recall@{DEPTH} of the vector leg: {:.3}", same as f64 / wanted as f64);

    clock::head("search, ms");
    let of_one = SearchFilter { documents: vec![documents[documents.len() / 2]], ..SearchFilter::default() };
    for (name, filter) in [("", &all), (", one document", &of_one)] {
        let (mut vector_leg, mut text_leg, mut both) = (Times::default(), Times::default(), Times::default());
        for (vector, words) in &queries {
            search(&index, collection, (vector, words), filter).await?;
        }
        for (vector, words) in &queries {
            vector_leg.note(index.search_vector(collection, vector, filter, BY_VECTOR)).await?;
            text_leg.note(index.search_text(collection, words, vector, filter, BY_WORDS)).await?;
            both.note(search(&index, collection, (vector, words), filter)).await?;
        }
        for (leg, times) in [("vector", vector_leg), ("words", text_leg), ("both at once", both)] {
            times.print(&format!("{leg}{name}"));
        }
    }

    let (mut added, mut removed) = (Times::default(), Times::default());
    for document in documents.iter().take(10) {
        removed.note(index.remove(collection, *document, Versions::All)).await?;
        let chunks = (0..10).map(|position| clusters.chunk(position)).collect();
        added.note(index.add(collection, DocumentId::generate(), 1, chunks)).await?;
    }
    removed.print("removing a document");
    added.print("adding one of 10 chunks");
    folder.remove()
}

/// Adds chunks as whole documents; returns these.
pub async fn fill(
    index: &LanceIndex,
    collection: Collection<'_>,
    clusters: &mut Clusters,
    chunks: usize,
) -> anyhow::Result<Vec<DocumentId>> {
    let mut documents = Vec::new();
    let mut left = chunks;
    while left > 0 {
        let count = left.min(PER_DOCUMENT);
        let document = DocumentId::generate();
        let batch = (0..u32::try_from(count)?).map(|position| clusters.chunk(position)).collect();
        index.add(collection, document, 1, batch).await?;
        documents.push(document);
        left -= count;
    }
    Ok(documents)
}

/// Ids of the chunks nearest to each query, compared with all that [`fill`] has added.
fn nearest(
    queries: Vec<&Embedding>,
    mut clusters: Clusters,
    chunks: usize,
    documents: &[DocumentId],
) -> Vec<Vec<String>> {
    let mut nearest: Vec<Vec<(f32, usize)>> = vec![Vec::new(); queries.len()];
    for n in 0..chunks {
        let vector = clusters.chunk(0).vector;
        for (query, nearest) in queries.iter().zip(&mut nearest) {
            let similarity: f32 = query.iter().zip(vector.iter()).map(|(one, other)| one * other).sum();
            if nearest.len() < DEPTH || similarity > nearest[DEPTH - 1].0 {
                nearest.push((similarity, n));
                nearest.sort_by(|one, other| other.0.total_cmp(&one.0));
                nearest.truncate(DEPTH);
            }
        }
    }
    let id = |n: usize| format!("{}:1:{}", documents[n / PER_DOCUMENT], n % PER_DOCUMENT);
    nearest.iter().map(|nearest| nearest.iter().map(|(_, n)| id(*n)).collect()).collect()
}

fn ids(hits: Vec<Hit>) -> Vec<String> {
    hits.into_iter().map(|hit| hit.chunk_id).collect()
}
