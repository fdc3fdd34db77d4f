//! Keeps searches fast while documents trickle in and tables grow.
//!
//! Each add makes a fragment, and each fragment slows every search. An add merges the small ones when there are many
//! ([`tidy`]); a scheduled job does what takes longer ([`maintain`]).

use std::time::Duration;

use chrono::TimeDelta;
use lancedb::{
    DistanceType, Table,
    index::{Index, vector::IvfHnswSqIndexBuilder},
    table::{CompactionOptions, OptimizeAction, OptimizeOptions},
};
use tokio::time::timeout;

use super::{parts, schema};

/// Fragments an add leaves at most.
const MAX_FRAGMENTS: usize = 12;
/// Rows at which a fragment is no longer merged by an add: rewriting it each time would cost more than it saves.
const SMALL_FRAGMENT: usize = 2048;
/// Fragments that maintenance leaves as they are, if no two of them are small.
const FEW_FRAGMENTS: usize = 4;
/// Age at which a superseded version's files are removed, more than a search may take. A write that is based on one is tried again, and
/// so is a search on a machine whose clock is behind. Each search lists the versions that there are, and each removal reads them:
/// a flood of documents makes them by the thousand.
const KEEP_VERSIONS: TimeDelta = TimeDelta::seconds(15);
/// Rows from which a table has a vector index. Below, a search reads every vector and loses nothing: 4 ms for 4 000 rows.
const INDEXED_ROWS: usize = 5_000;
/// Rows that an index need not hold: a search reads them one by one. The index of words is written anew whole to hold more.
const UNINDEXED_ROWS: usize = 500;
/// The vector index is made of parts, and each costs a search a millisecond. New rows become a part together with those before that
/// are smaller than so many times the new one: a table has few parts for each power of this, and a row is written as often.
const PART_GROWTH: usize = 4;
/// Rows of a part of the vector index that an add may write, within some seconds; larger ones are left to maintenance.
const INDEXED_BY_ADD: usize = 8_192;

/// Merges small fragments once a table has more than [`MAX_FRAGMENTS`] of them, and brings the indices up to date once they lack
/// more than [`UNINDEXED_ROWS`].
///
/// Best effort: the rows are stored already, an unmerged table only answers more slowly, and the next add tries
/// again. Another process doing the same at once makes one of the two fail.
pub async fn tidy(table: &Table, patience: Duration) {
    let merge = async {
        if small_fragments(table).await? <= MAX_FRAGMENTS {
            return Ok(());
        }
        merge_small(table).await?;
        if index_words(table, UNINDEXED_ROWS).await? {
            index_vectors(table, INDEXED_BY_ADD).await?;
            prune(table, KEEP_VERSIONS).await?;
        }
        lancedb::Result::Ok(())
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
    index_words(table, 0).await?;
    index_vectors(table, usize::MAX).await?;
    prune(table, KEEP_VERSIONS).await
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
    index_words(table, 0).await?;
    index_vectors(table, INDEXED_BY_ADD).await?;
    prune(table, TimeDelta::zero()).await
}

pub async fn has_index(table: &Table, column: &str) -> lancedb::Result<bool> {
    Ok(indexed(table, column).await?.is_some())
}

/// Brings the index of words up to date when it lacks more rows than that; says whether it did.
async fn index_words(table: &Table, few: usize) -> lancedb::Result<bool> {
    match indexed(table, schema::WORDS).await? {
        Some(Indexed { name, missing, .. }) if missing > few => {
            let options = OptimizeOptions::default().index_names(vec![name]);
            table.optimize(OptimizeAction::Index(options)).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Gives a table that has grown its vector index, or brings the one it has up to date, unless more than `most` rows are to be written
/// for it.
async fn index_vectors(table: &Table, most: usize) -> lancedb::Result<()> {
    let Some(Indexed { name, parts, missing }) = indexed(table, schema::VECTOR).await? else {
        if (INDEXED_ROWS..=most).contains(&table.count_rows(None).await?) {
            let graph = IvfHnswSqIndexBuilder::default().distance_type(DistanceType::Cosine);
            table.create_index(&[schema::VECTOR], Index::IvfHnswSq(graph)).execute().await?;
        }
        return Ok(());
    };
    let (mut rows, mut merged) = (missing, 0);
    for part in parts.into_iter().rev() {
        if part >= rows * PART_GROWTH {
            break;
        }
        rows += part;
        merged += 1;
    }
    if missing > UNINDEXED_ROWS && rows <= most {
        let options = OptimizeOptions::merge(merged).index_names(vec![name]);
        table.optimize(OptimizeAction::Index(options)).await?;
    }
    Ok(())
}

/// How many rows an index holds.
struct Indexed {
    name: String,
    /// Rows of its parts, oldest first.
    parts: Vec<usize>,
    /// Rows that are in none of them.
    missing: usize,
}

/// A column's index, as far as the table's manifest tells.
async fn indexed(table: &Table, column: &str) -> lancedb::Result<Option<Indexed>> {
    let Some(dataset) = table.dataset() else { return Ok(None) };
    let dataset = dataset.get().await?;
    let parts = parts::of(&dataset, column).await?;
    let Some(index) = parts.first() else { return Ok(None) };
    let mut indexed = Indexed { name: index.name.clone(), parts: vec![0; parts.len()], missing: 0 };
    for fragment in dataset.fragments().iter() {
        let rows = fragment.num_rows().unwrap_or_default();
        match parts::holding(&parts, fragment) {
            Some(part) => indexed.parts[part] += rows,
            None => indexed.missing += rows,
        }
    }
    Ok(Some(indexed))
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

async fn prune(table: &Table, older_than: TimeDelta) -> lancedb::Result<()> {
    let prune = OptimizeAction::Prune {
        older_than: Some(older_than),
        delete_unverified: None,
        error_if_tagged_old_versions: None,
    };
    table.optimize(prune).await.map(|_| ())
}
