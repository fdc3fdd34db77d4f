//! The two legs of a search in one table.

use std::collections::HashMap;

use arrow_array::{RecordBatch, cast::AsArray};
use futures::TryStreamExt;
use jobs::ports::{Embedding, Hit, Place, SearchFilter};
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
/// Rows that a least similarity may make the full-text leg look at.
const MAX_LOOKED_AT: usize = 4096;

pub async fn by_vector(
    table: &Table,
    query: &Embedding,
    filter: &SearchFilter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let mut search = table.query().limit(limit).select(Select::columns(&schema::FOUND_BY_VECTOR));
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
    words: String,
    vector: &Embedding,
    filter: &SearchFilter,
    limit: usize,
) -> lancedb::Result<Vec<Hit>> {
    let mut looked_at = limit;
    loop {
        let words = FullTextSearchQuery::new(words.clone()).with_column(schema::WORDS.to_owned())?;
        let mut search =
            table.query().limit(looked_at).select(Select::columns(&schema::FOUND_BY_TEXT)).full_text_search(words);
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

/// The texts at these places.
pub async fn texts_at(table: &Table, places: &[Place]) -> lancedb::Result<HashMap<Place, String>> {
    let search = table.query().only_if(filter::at(places)).select(Select::columns(&["id", "text"]));
    let batches: Vec<RecordBatch> = search.execute().await?.try_collect().await?;
    let mut texts = HashMap::new();
    for batch in &batches {
        let column = |name| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (Some(ids), Some(found)) = (column("id"), column("text")) else { return Err(rows::missing("text")) };
        for (id, text) in ids.iter().zip(found) {
            if let (Some(place), Some(text)) = (id.and_then(Place::parse), text) {
                texts.insert(place, text.to_owned());
            }
        }
    }
    Ok(texts)
}
