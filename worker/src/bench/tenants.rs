//! Many tenants in one process.

use std::time::Instant;

use jobs::{
    domain::ids::TenantId,
    ports::{Collection, Index, SearchFilter},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Place,
    clock::{Times, resident_megabytes},
    index::{MODEL, fill, print},
    vectors::Clusters,
};

/// Searches measured, each of any tenant.
const SEARCHES: usize = 2_000;
/// Candidates that each leg is asked for.
const CANDIDATES: usize = 100;

pub async fn run(tenants: u32, chunks: u32, place: &Place) -> anyhow::Result<()> {
    let (index, folder) = place.open().await?;
    let started = Instant::now();
    let mut of = Vec::new();
    let mut clusters = Clusters::of(chunks as usize, 2);
    for _ in 0..tenants {
        let tenant = TenantId::generate();
        let collection = Collection { tenant, model: MODEL };
        fill(&index, collection, &mut clusters, chunks as usize).await?;
        index.maintain(collection).await?;
        of.push(tenant);
    }
    println!("\ntenants: {tenants} tenants of {chunks} chunks each; made vectors, in clusters");
    println!(
        "  added in {:.1} s; this process then holds {} MB",
        started.elapsed().as_secs_f64(),
        resident_megabytes()
    );
    drop(index);
    // As a worker that starts finds them.
    let (index, mut random) = (place.open().await?.0, StdRng::seed_from_u64(3));
    let all = SearchFilter::default();
    let (mut first, mut later) = (Times::default(), Times::default());
    let mut seen = vec![false; of.len()];
    for _ in 0..SEARCHES {
        let any = random.random_range(0..of.len());
        let collection = Collection { tenant: of[any], model: MODEL };
        let (vector, words) = (clusters.vector(), clusters.words());
        let search = async {
            tokio::try_join!(
                index.search_vector(collection, &vector, &all, CANDIDATES),
                index.search_text(collection, &words, &vector, &all, CANDIDATES)
            )
        };
        if seen[any] {
            later.note(search).await?
        } else {
            first.note(search).await?
        };
        seen[any] = true;
    }
    println!("  after {SEARCHES} searches of any tenant it holds {} MB", resident_megabytes());
    println!("  {:<34} {:>8} {:>8} {:>8}", "search by both legs, ms", "p50", "p99", "max");
    print("a tenant's first", &first);
    print("later ones", &later);
    folder.remove()
}
