//! Keeps searches fast while documents trickle in and tables grow.
//!
//! Each add makes a fragment, and each fragment slows every search. An add merges the small ones when there are many
//! ([`tidy`]); a scheduled job does what takes longer ([`maintain`]).

use std::time::Duration;

use lancedb::{
    DistanceType, Table,
    index::{Index, vector::IvfHnswSqIndexBuilder},
    table::{CompactionOptions, OptimizeAction, OptimizeOptions},
};
use tokio::time::timeout;

use super::schema;

/// Fragments an add leaves at most.
const MAX_FRAGMENTS: usize = 12;
/// Rows at which a fragment is no longer merged by an add: rewriting it each time would cost more than it saves.
const SMALL_FRAGMENT: usize = 2048;
/// Fragments that maintenance leaves as they are, if no two of them are small.
const FEW_FRAGMENTS: usize = 4;
/// Age at which a superseded version's files are removed. A search that still reads one ends long before; a write that is based on one
/// is tried again. Each search lists the versions that there are, which a flood of documents makes by the thousand.
const KEEP_VERSIONS_MINUTES: i64 = 1;
/// Rows from which a table has a vector index. Below, a search reads every vector and loses nothing: 3.5 ms for 4 000 rows, 39 ms for
/// 19 000. An index would take 3 ms, but not when documents trickled in after it was made: 43 ms with 6 000 rows.
const INDEXED_ROWS: usize = 20_000;

/// Merges small fragments and brings the indices up to date once a table has more than [`MAX_FRAGMENTS`] of them.
///
/// Best effort: the rows are stored already, an unmerged table only answers more slowly, and the next add tries
/// again. Another process doing the same at once makes one of the two fail.
pub async fn tidy(table: &Table, patience: Duration) {
    let merge = async {
        if small_fragments(table).await? <= MAX_FRAGMENTS {
            return Ok(());
        }
        merge_small(table).await?;
        table.optimize(OptimizeAction::Index(OptimizeOptions::default())).await?;
        prune(table, chrono::TimeDelta::minutes(KEEP_VERSIONS_MINUTES)).await
    };
    match timeout(patience, merge).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(table = table.name(), %error, "left a table unmerged"),
        Err(_) => tracing::warn!(table = table.name(), ?patience, "merging a table takes too long"),
    }
}

/// Merges what [`tidy`] leaves, gives a table that has grown its vector index, and brings the indices up to date.
pub async fn maintain(table: &Table) -> lancedb::Result<()> {
    let Some(native) = table.as_native() else { return Ok(()) };
    let many = native.count_fragments().await? > FEW_FRAGMENTS;
    let fragmented = many || small_fragments(table).await? > 1;
    if many {
        compact(table, CompactionOptions::default()).await?;
    } else if fragmented {
        merge_small(table).await?;
    }
    if table.count_rows(None).await? >= INDEXED_ROWS && !has_index(table, schema::VECTOR).await? {
        let graph = IvfHnswSqIndexBuilder::default().distance_type(DistanceType::Cosine);
        table.create_index(&[schema::VECTOR], Index::IvfHnswSq(graph)).execute().await?;
    }
    if fragmented {
        table.optimize(OptimizeAction::Index(OptimizeOptions::default())).await?;
    }
    prune(table, chrono::TimeDelta::minutes(KEEP_VERSIONS_MINUTES)).await
}

/// Rewrites a table without the rows that were deleted from it, and removes every file of earlier versions: deleting alone
/// only marks rows. A search that reads an earlier version at this moment fails, and is tried again.
pub async fn rewrite(table: &Table) -> lancedb::Result<()> {
    let options = CompactionOptions {
        materialize_deletions: true,
        materialize_deletions_threshold: 0.0,
        ..CompactionOptions::default()
    };
    compact(table, options).await?;
    table.optimize(OptimizeAction::Index(OptimizeOptions::default())).await?;
    prune(table, chrono::TimeDelta::zero()).await
}

pub async fn has_index(table: &Table, column: &str) -> lancedb::Result<bool> {
    let indices = table.list_indices().await?;
    Ok(indices.iter().any(|index| index.columns == [column]))
}

async fn small_fragments(table: &Table) -> lancedb::Result<usize> {
    match table.as_native() {
        Some(native) => native.num_small_files(SMALL_FRAGMENT).await,
        None => Ok(0),
    }
}

async fn merge_small(table: &Table) -> lancedb::Result<()> {
    compact(table, CompactionOptions { target_rows_per_fragment: SMALL_FRAGMENT, ..Default::default() }).await
}

async fn compact(table: &Table, options: CompactionOptions) -> lancedb::Result<()> {
    table.optimize(OptimizeAction::Compact { options, remap_options: None }).await.map(|_| ())
}

async fn prune(table: &Table, older_than: chrono::TimeDelta) -> lancedb::Result<()> {
    let prune = OptimizeAction::Prune {
        older_than: Some(older_than),
        delete_unverified: None,
        error_if_tagged_old_versions: None,
    };
    table.optimize(prune).await.map(|_| ())
}
