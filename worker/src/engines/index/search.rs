//! The two legs of a search in one table.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use jobs::ports::{Embedding, Hit, Passage, Place, SearchFilter};
use lance::dataset::ProjectionRequest;
use lancedb::{
    DistanceType, Table,
    index::scalar::FullTextSearchQuery,
    query::{ExecutableQuery, QueryBase, Select},
};

use super::{filter, rows, schema};

/// Partitions of the vector index that a query reads.
const PROBES: usize = 20;
/// Quantised candidates per wanted hit, whose distances are computed again from the vectors themselves: the wanted ones only, as
/// the retriever wants twenty for each result.
const REFINE: u32 = 1;
/// Candidates of a partition's graph that a query keeps in view, per wanted hit, and at least.
const EF_PER_HIT: usize = 2;
const MIN_EF: usize = 64;
/// A row's number is that of its fragment, above these bits, and its place in it.
const FRAGMENT_BITS: u32 = 32;
const PLACE_MASK: u64 = (1 << FRAGMENT_BITS) - 1;
/// Rows that a least similarity may make the full-text leg look at.
const MAX_LOOKED_AT: usize = 4096;

pub async fn by_vector(
    table: &Table,
    query: &Embedding,
    filter: &SearchFilter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let mut search = table.query().limit(limit).select(Select::columns(&schema::FOUND_BY_VECTOR)).with_row_id();
    if let Some(filter) = filter::allowed(filter) {
        search = search.only_if(filter);
    }
    let mut search = search
        .nearest_to(query.as_ref())?
        .column(schema::VECTOR)
        .distance_type(DistanceType::Cosine)
        .nprobes(PROBES)?
        .refine_factor(REFINE)
        .ef((limit * EF_PER_HIT).max(MIN_EF));
    if let Some(least) = filter.min_similarity {
        // The bound is the first distance that is too far.
        search = search.distance_range(None, Some((1.0 - least).next_up()));
    }
    let batches: Vec<RecordBatch> = search.execute().await?.try_collect().await?;
    rows::hits(&batches, rows::Score::Similarity)
}

/// `words` are the query's terms. A least similarity is not known to the index of words: more rows are read until enough are
/// similar.
pub async fn by_words(
    table: &Table,
    words: &str,
    vector: &Embedding,
    filter: &SearchFilter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let mut looked_at = limit;
    loop {
        let words = FullTextSearchQuery::new(words.to_owned()).with_column(schema::WORDS.to_owned())?;
        let search = table.query().limit(looked_at).select(Select::columns(&schema::FOUND_BY_TEXT)).with_row_id();
        let mut search = search.full_text_search(words);
        if let Some(filter) = filter::allowed(filter) {
            search = search.only_if(filter);
        }
        let batches: Vec<RecordBatch> = search.execute().await?.try_collect().await?;
        let mut hits = rows::hits(&batches, rows::Score::Text { vector })?;
        let all = hits.len() < looked_at || looked_at >= MAX_LOOKED_AT;
        if let Some(least) = filter.min_similarity {
            hits.retain(|hit| hit.similarity >= least);
        }
        if all || hits.len() >= limit {
            hits.truncate(limit);
            return Ok(hits);
        }
        looked_at = (looked_at * 4).min(MAX_LOOKED_AT);
    }
}

/// The passages at these places.
///
/// Those that are at the rows given are taken by them, without a plan. Where a row holds another place, as it moved when fragments were
/// merged, the place is looked for by its id, which reads that column whole.
pub async fn passages(table: &Table, wanted: &HashMap<Place, u64>) -> lancedb::Result<HashMap<Place, Passage>> {
    let mut found = HashMap::new();
    if let Some(dataset) = table.dataset() {
        let dataset = dataset.get().await?;
        // Taking what is not there panics.
        let lengths: HashMap<u64, u64> = dataset
            .fragments()
            .iter()
            .map(|fragment| (fragment.id, fragment.physical_rows.unwrap_or_default() as u64))
            .collect();
        let exists = |row: &u64| lengths.get(&(row >> FRAGMENT_BITS)).is_some_and(|length| row & PLACE_MASK < *length);
        let mut rows: Vec<u64> = wanted.values().copied().filter(exists).collect();
        // Sorted ones need not be put back into another order.
        rows.sort_unstable();
        rows.dedup();
        if !rows.is_empty() {
            let columns = ProjectionRequest::from_columns(schema::PASSAGE, dataset.schema());
            found = rows::passages(&[dataset.take_rows(&rows, columns).await?])?;
        }
    }
    found.retain(|place, _| wanted.contains_key(place));
    let elsewhere: Vec<Place> = wanted.keys().copied().filter(|place| !found.contains_key(place)).collect();
    if !elsewhere.is_empty() {
        let search = table.query().only_if(filter::at(&elsewhere)).select(Select::columns(&schema::PASSAGE));
        let batches: Vec<RecordBatch> = search.execute().await?.try_collect().await?;
        found.extend(rows::passages(&batches)?);
    }
    Ok(found)
}
