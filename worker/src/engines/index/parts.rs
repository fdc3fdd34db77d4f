//! The parts of a column's index, as far as a table's manifest tells: nothing of the index itself is read.

use lance::{
    Dataset,
    index::DatasetIndexExt,
    table::format::{Fragment, IndexMetadata},
};

/// The parts, oldest first; none without an index.
pub async fn of(dataset: &Dataset, column: &str) -> lancedb::Result<Vec<IndexMetadata>> {
    let field = dataset.schema().field_id(column)?;
    let indices = dataset.load_indices().await?;
    Ok(indices.iter().filter(|index| index.fields == [field]).cloned().collect())
}

/// Which of the parts holds a fragment's rows.
pub fn holding(parts: &[IndexMetadata], fragment: &Fragment) -> Option<usize> {
    let id = u32::try_from(fragment.id).unwrap_or(u32::MAX);
    parts.iter().position(|part| part.fragment_bitmap.as_ref().is_some_and(|held| held.contains(id)))
}
