use std::collections::HashMap;

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Index, SearchFilter, Versions},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use worker::engines::index::LanceIndex;

use super::{chunk, connect, of, vector};

const QUERIES: [&str; 3] = ["refund refunds of tent7", "boot3 boot4 boots", "stove11 tent2"];

/// Of words that some passages share and others do not, in passages of different lengths.
fn passage(random: &mut StdRng) -> String {
    let words = (0..random.random_range(3..40)).map(|_| match random.random_range(0..4) {
        0 => "refund".to_owned(),
        1 => format!("tent{}", random.random_range(0..12)),
        2 => format!("boot{}", random.random_range(0..12)),
        _ => format!("stove{}", random.random_range(0..200)),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The scores of all that a query's words find, by chunk.
async fn scores(index: &LanceIndex, tenant: TenantId, query: &str, filter: &SearchFilter) -> HashMap<String, f32> {
    let hits = index.search_text(of(tenant), query, &vector(0.0), filter, 1_000).await.unwrap();
    assert!(hits.is_sorted_by(|one, other| one.score >= other.score), "{query}");
    hits.into_iter().map(|hit| (hit.chunk_id, hit.score)).collect()
}

/// A row is scored the same whether the index of words holds it or not, beside rows of either kind.
#[tokio::test]
async fn words_score_alike_before_they_are_indexed_and_after() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let tenant = TenantId::generate();
    let mut random = StdRng::seed_from_u64(3);
    let documents: Vec<DocumentId> = (0..8).map(|_| DocumentId::generate()).collect();
    let all = SearchFilter::default();
    let some = SearchFilter { documents: documents[..6].to_vec(), ..SearchFilter::default() };
    // First nothing is indexed, then half of the documents are.
    for half in documents.chunks(4) {
        for document in half {
            let chunks: Vec<Chunk> = (0..40).map(|n| chunk(n, &passage(&mut random), &[])).collect();
            index.add(of(tenant), *document, 1, chunks).await.unwrap();
        }
        // Replaced and removed: of neither may count what was.
        let chunks: Vec<Chunk> = (0..20).map(|n| chunk(n, &passage(&mut random), &[])).collect();
        index.add(of(tenant), half[0], 2, chunks).await.unwrap();
        index.remove(of(tenant), half[0], Versions::Below(2)).await.unwrap();
        index.remove(of(tenant), half[1], Versions::All).await.unwrap();

        let mut before = Vec::new();
        for (query, filter) in QUERIES.iter().flat_map(|query| [(query, &some), (query, &all)]) {
            before.push((query, filter.clone(), scores(&index, tenant, query, filter).await));
        }
        index.maintain(of(tenant)).await.unwrap();
        for (query, filter, before) in before {
            let after = scores(&index, tenant, query, &filter).await;
            assert!(before.len() > 10 && before.len() == after.len(), "{query}: {} and {}", before.len(), after.len());
            for (chunk, score) in before {
                assert!((after[&chunk] / score - 1.0).abs() < 0.02, "{query}: {score} and {}", after[&chunk]);
            }
        }
    }
}
