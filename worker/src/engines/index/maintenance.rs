//! Keeps searches fast while small documents trickle in.

use std::time::Duration;

use lancedb::Table;
use lancedb::table::{CompactionOptions, OptimizeAction, OptimizeOptions};
use tokio::time::timeout;

/// Fragments a table may have before they are merged; each add makes one, and each slows every search.
const MAX_FRAGMENTS: usize = 12;
/// Age at which a superseded version's files are removed; a search that still reads one ends long before.
const KEEP_VERSIONS_MINUTES: i64 = 10;

/// Merges fragments, brings the full-text index up to date and removes old versions once a table has more than
/// [`MAX_FRAGMENTS`].
///
/// Best effort: the rows are stored already, an unmerged table only answers more slowly, and the next add tries
/// again. Another process doing the same at once makes one of the two fail.
pub async fn tidy(table: &Table, patience: Duration) {
    match timeout(patience, merge(table)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(table = table.name(), %error, "left a table unmerged"),
        Err(_) => tracing::warn!(table = table.name(), ?patience, "merging a table takes too long"),
    }
}

async fn merge(table: &Table) -> lancedb::Result<()> {
    let Some(native) = table.as_native() else { return Ok(()) };
    if native.count_fragments().await? <= MAX_FRAGMENTS {
        return Ok(());
    }
    table.optimize(OptimizeAction::Compact { options: CompactionOptions::default(), remap_options: None }).await?;
    table.optimize(OptimizeAction::Index(OptimizeOptions::default())).await?;
    let older_than = chrono::TimeDelta::minutes(KEEP_VERSIONS_MINUTES);
    let prune = OptimizeAction::Prune {
        older_than: Some(older_than),
        delete_unverified: None,
        error_if_tagged_old_versions: None,
    };
    table.optimize(prune).await?;
    Ok(())
}

/// Rewrites a table without the rows that were deleted from it, and removes every file of earlier versions: deleting alone
/// only marks rows. A search that reads an earlier version at this moment fails, and is tried again.
pub async fn rewrite(table: &Table) -> lancedb::Result<()> {
    let options = CompactionOptions {
        materialize_deletions: true,
        materialize_deletions_threshold: 0.0,
        ..CompactionOptions::default()
    };
    table.optimize(OptimizeAction::Compact { options, remap_options: None }).await?;
    table.optimize(OptimizeAction::Index(OptimizeOptions::default())).await?;
    let prune = OptimizeAction::Prune {
        older_than: Some(chrono::TimeDelta::zero()),
        delete_unverified: None,
        error_if_tagged_old_versions: None,
    };
    table.optimize(prune).await?;
    Ok(())
}
