//! Documents that come one by one.

use std::time::{Duration, Instant};

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Collection, Embedding, Index, SearchFilter},
};

use super::{
    Place,
    clock::{self, Times, median},
    index::MODEL,
    search::search,
    vectors::Clusters,
};
use crate::engines::index::LanceIndex;

/// Chunks of a document.
const PER_DOCUMENT: u32 = 2;
/// Documents between two runs of upkeep: five minutes of a document every second.
const UPKEEP_EVERY: u32 = 300;
/// Until the last upkeep, which removes what was superseded by then; the job comes every five minutes.
const UPKEEP_AFTER: Duration = Duration::from_secs(20);
/// Documents added to the other table at a time.
const AT_ONCE: usize = 500;
/// Searches of a round, and rounds, which take turns between the two tables.
const SEARCHES: usize = 100;
const ROUNDS: usize = 5;

pub async fn run(documents: u32, place: &Place) -> anyhow::Result<()> {
    let (index, folder) = place.open().await?;
    let of = |tenant| Collection { tenant, model: MODEL };
    let (trickled, fresh) = (of(TenantId::generate()), of(TenantId::generate()));
    let mut clusters = Clusters::of((documents * PER_DOCUMENT) as usize, 4);

    let (mut adds, mut upkeep) = (Times::default(), Times::default());
    let mut rows = Vec::new();
    let started = Instant::now();
    for n in 1..=documents {
        let chunks: Vec<_> = (0..PER_DOCUMENT).map(|position| clusters.chunk(position)).collect();
        rows.extend(chunks.clone());
        adds.note(index.add(trickled, DocumentId::generate(), 1, chunks)).await?;
        if n % UPKEEP_EVERY == 0 {
            upkeep.note(index.maintain(trickled)).await?;
        }
    }
    println!("\ntrickle: {documents} documents of {PER_DOCUMENT} chunks, one by one, upkeep every {UPKEEP_EVERY}");
    println!("  added in {:.1} s", started.elapsed().as_secs_f64());
    clock::head("ms");
    adds.print("adding a document");
    upkeep.print("upkeep");
    for batch in rows.chunks(AT_ONCE) {
        let mut chunks = batch.to_vec();
        chunks.iter_mut().zip(0..).for_each(|(chunk, position)| chunk.position = position);
        index.add(fresh, DocumentId::generate(), 1, chunks).await?;
    }
    index.maintain(fresh).await?;
    tokio::time::sleep(UPKEEP_AFTER).await;
    index.maintain(trickled).await?;

    let queries: Vec<(Embedding, String)> = (0..SEARCHES).map(|_| (clusters.vector(), clusters.words())).collect();
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let [trickled, fresh] = [typical(&index, trickled, &queries).await?, typical(&index, fresh, &queries).await?];
        println!("  search p50: trickled {trickled:.2} ms, fresh {fresh:.2} ms");
        ratios.push(trickled / fresh);
    }
    println!("  trickled / fresh, median of {ROUNDS}: {:.2}", median(&mut ratios));
    folder.remove()
}

/// The median time of a search by both legs.
async fn typical(
    index: &LanceIndex,
    collection: Collection<'_>,
    queries: &[(Embedding, String)],
) -> anyhow::Result<f64> {
    let all = SearchFilter::default();
    let mut times = Times::default();
    for (vector, words) in queries {
        times.note(search(index, collection, (vector, words), &all)).await?;
    }
    Ok(times.percentile(0.5))
}
