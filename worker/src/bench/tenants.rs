//! Many tenants in one process.

use std::time::Instant;

use jobs::{
    domain::ids::TenantId,
    ports::{Collection, Index, SearchFilter},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Place,
    clock::{self, Times, resident_megabytes},
    index::{MODEL, fill},
    search::search,
    vectors::Clusters,
};

/// Searches measured, each of any tenant.
const SEARCHES: usize = 2_000;

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
        let times = if seen[any] { &mut later } else { &mut first };
        times.note(search(&index, collection, (&vector, &words), &all)).await?;
        seen[any] = true;
    }
    println!("  after {SEARCHES} searches of any tenant it holds {} MB", resident_megabytes());
    clock::head("search by both legs, ms");
    first.print("a tenant's first");
    later.print("later ones");
    folder.remove()
}
