//! The two legs of a search in one table.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::{Float32Array, RecordBatch, UInt64Array};
use futures::TryStreamExt;
use jobs::ports::{Embedding, Found, Hit, Limits, Query, SearchFilter};
use lance::{
    dataset::{
        ROW_ID,
        scanner::{RowAddrMask, RowAddrTreeMap},
    },
    deps::datafusion::physical_plan::ExecutionPlan,
    io::exec::{ANNIvfPartitionExec, ANNIvfSubIndexExec, PreFilterSource, fts::MatchQueryExec},
    table::format::IndexMetadata,
};
use lance_index::{
    scalar::inverted::SCORE_COL,
    vector::{self, ApproxMode, DIST_COL},
};
use lancedb::index::scalar::{DocumentGranularity, FtsSearchParams, FullTextSearchQuery, MatchQuery};

use super::{
    filter,
    held::{self, place_in_fragment},
    parts,
    rows::column,
    schema,
    snapshot::{Compared, Snapshot, batches},
};

/// Partitions of the vector index that a query reads.
const PROBES: usize = 20;
/// LanceDB's own, which says how much is searched where the partitions to read are not given.
const DEFAULT_EFFORT: f64 = 0.5;
/// Candidates of a partition's graph that a query keeps in view, per wanted hit, and at least.
const EF_PER_HIT: usize = 2;
const MIN_EF: usize = 64;
/// Rows that a filter leaves at most, for each of them to be compared without the index.
const COMPARED_EACH: usize = 4096;
/// Rows that a least similarity may make the full-text leg look at.
const MAX_LOOKED_AT: usize = 4096;

/// Rows that a filter lets be found.
struct Allowed {
    rows: Vec<u64>,
    mask: RowAddrMask,
}

impl From<Vec<u64>> for Allowed {
    fn from(rows: Vec<u64>) -> Self {
        let mask = RowAddrMask::from_allowed(rows.iter().copied().collect::<RowAddrTreeMap>());
        Self { rows, mask }
    }
}

impl Snapshot<'_> {
    /// The legs that are wanted, at once; `words` are the query's terms.
    pub async fn search(&self, words: &str, query: Query<'_>, limits: Limits) -> lancedb::Result<Found> {
        let Query { vector, filter, .. } = query;
        let allowed = self.allowed(filter).await?.map(Allowed::from);
        let allowed = allowed.as_ref();
        let by_vector = async {
            if limits.by_vector == 0 {
                Ok(Vec::new())
            } else {
                self.by_vector(vector, filter, allowed, limits.by_vector).await
            }
        };
        let by_text = async {
            let nothing = limits.by_text == 0 || words.is_empty();
            if nothing { Ok(Vec::new()) } else { self.by_words(words, vector, filter, allowed, limits.by_text).await }
        };
        let (by_vector, by_text) = tokio::try_join!(by_vector, by_text)?;
        Ok(Found { by_vector, by_text })
    }

    /// The nearest rows. The index of vectors, where there is one, only proposes rows: all are compared by the vectors themselves.
    async fn by_vector(
        &self,
        query: &Embedding,
        filter: &SearchFilter,
        allowed: Option<&Allowed>,
        limit: usize,
    ) -> lancedb::Result<Vec<Hit>> {
        let dimension = held::dimension(&self.dataset)?;
        if query.len() != dimension {
            let message = format!("a query of {} numbers in a table of {dimension}", query.len());
            return Err(lancedb::Error::InvalidInput { message });
        }
        let mut near = match allowed {
            Some(allowed) if allowed.rows.len() <= COMPARED_EACH => self.compare(&allowed.rows, query).await?,
            _ => {
                let allowed = allowed.map(|allowed| &allowed.mask);
                let parts = parts::of(&self.dataset, schema::VECTOR).await?;
                let (mut proposed, beside) = tokio::try_join!(
                    self.proposed(&parts, query, allowed, limit),
                    self.beside_index(&parts, query, allowed, limit),
                )?;
                proposed.extend(beside);
                proposed
            }
        };
        nearest(&mut near, limit);
        near.retain(|row| filter.min_similarity.is_none_or(|least| row.similarity >= least));
        Ok(once(near).map(|row| row.hit(row.similarity)).collect())
    }

    /// The best rows by the words of the query, which are its terms. A least similarity is not known to the index of words: more
    /// rows are read until enough are similar.
    async fn by_words(
        &self,
        words: &str,
        vector: &Embedding,
        filter: &SearchFilter,
        allowed: Option<&Allowed>,
        limit: usize,
    ) -> lancedb::Result<Vec<Hit>> {
        let allowed = allowed.map(|allowed| &allowed.mask);
        let mut looked_at = limit;
        loop {
            let scored = self.worded(words, allowed, looked_at).await?;
            let rows: Vec<u64> = scored.iter().map(|(row, _)| *row).collect();
            let scores: HashMap<u64, f32> = scored.into_iter().collect();
            let all = rows.len() < looked_at || looked_at >= MAX_LOOKED_AT;
            let mut found = self.compare(&rows, vector).await?;
            found.retain(|row| filter.min_similarity.is_none_or(|least| row.similarity >= least));
            if all || found.len() >= limit {
                let hits = once(found).take(limit);
                return Ok(hits.map(|row| row.hit(scores.get(&row.row).copied().unwrap_or_default())).collect());
            }
            looked_at = (looked_at * 4).min(MAX_LOOKED_AT);
        }
    }

    /// Rows that a filter lets be found; `None` when it lets all.
    async fn allowed(&self, filter: &SearchFilter) -> lancedb::Result<Option<Vec<u64>>> {
        let Some(condition) = filter::condition(filter) else { return Ok(None) };
        if let Some(allows) = filter::by_place(filter) {
            let fragments = self.dataset.fragments();
            let held = self.ready(fragments.iter()).await?;
            if held.len() == fragments.len() {
                let mut allowed = Vec::new();
                for fragment in fragments.iter() {
                    let rows = self.live(fragment, &held[&fragment.id]).await?;
                    allowed.extend(rows.filter(|(_, place)| allows(place)).map(|(row, _)| row));
                }
                return Ok(Some(allowed));
            }
        }
        let mut scan = self.dataset.scan();
        scan.filter(&condition)?.empty_project()?.with_row_id();
        Ok(Some(row_ids(&batches(&scan).await?)?))
    }

    /// What the index of vectors takes for the nearest.
    async fn proposed(
        &self,
        parts: &[IndexMetadata],
        query: &Embedding,
        allowed: Option<&RowAddrMask>,
        limit: usize,
    ) -> lancedb::Result<Vec<Compared>> {
        if parts.is_empty() {
            return Ok(Vec::new());
        }
        let near = vector::Query {
            column: schema::VECTOR.to_owned(),
            key: Arc::new(Float32Array::from(query.to_vec())),
            k: limit,
            lower_bound: None,
            upper_bound: None,
            minimum_nprobes: PROBES,
            maximum_nprobes: Some(PROBES),
            search_effort: DEFAULT_EFFORT,
            ef: Some((limit * EF_PER_HIT).max(MIN_EF)),
            refine_factor: None,
            metric_type: None,
            use_index: true,
            query_parallelism: 0,
            dist_q_c: 0.0,
            approx_mode: ApproxMode::Normal,
        };
        let ids = parts.iter().map(|part| part.uuid).collect();
        let partitions = ANNIvfPartitionExec::try_new(Arc::clone(&self.dataset), ids, near.clone())?;
        let (dataset, partitions) = (Arc::clone(&self.dataset), Arc::new(partitions));
        let search = ANNIvfSubIndexExec::try_new(partitions, dataset, parts.to_vec(), near, PreFilterSource::None)?;
        let found = execute(&search.with_external_mask(allowed.cloned().map(Arc::new))).await?;
        let mut proposed = scored(&found, DIST_COL)?;
        proposed.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        let rows: Vec<u64> = proposed.into_iter().take(limit).map(|(row, _)| row).collect();
        self.compare(&rows, query).await
    }

    /// The nearest of the rows that are not in the index of vectors.
    async fn beside_index(
        &self,
        parts: &[IndexMetadata],
        query: &Embedding,
        allowed: Option<&RowAddrMask>,
        limit: usize,
    ) -> lancedb::Result<Vec<Compared>> {
        let mut near = Vec::new();
        for fragment in self.outside(parts) {
            let rows = self.held.all(&self.dataset, fragment).await?;
            let similarities = rows.similarities(query);
            let live = self.live(fragment, &rows).await?;
            let allowed = live.filter(|(row, _)| allowed.is_none_or(|allowed| allowed.selected(*row)));
            near.extend(allowed.map(|(row, place)| Compared {
                row,
                place,
                similarity: similarities[place_in_fragment(row)],
            }));
            nearest(&mut near, limit);
            tokio::task::yield_now().await;
        }
        Ok(near)
    }

    /// Rows with their BM25 scores, best first.
    async fn worded(
        &self,
        words: &str,
        allowed: Option<&RowAddrMask>,
        limit: usize,
    ) -> lancedb::Result<Vec<(u64, f32)>> {
        let parts = parts::of(&self.dataset, schema::WORDS).await?;
        if let Some(tail) = self.tail(&parts).await? {
            // As the scan below would, but without its plan, which takes as long as the search.
            let query = MatchQuery::new(words.to_owned())
                .with_column(Some(schema::WORDS.to_owned()))
                .with_document_granularity(DocumentGranularity::Row);
            let params = FtsSearchParams::new().with_limit(Some(limit));
            let search = MatchQueryExec::new(Arc::clone(&self.dataset), query, params, PreFilterSource::None)?
                .with_external_mask(allowed.cloned().map(Arc::new));
            if tail.is_empty() {
                return scored(&execute(&search).await?, SCORE_COL);
            }
            let terms: Vec<&str> = words.split_whitespace().collect();
            let scorer = Arc::new(self.scorer(&parts, &tail, &terms).await?);
            let mut best = tail.scored(&terms, &scorer, allowed);
            if parts.iter().any(|part| part.fragment_bitmap.as_ref().is_some_and(|held| !held.is_empty())) {
                best.extend(scored(&execute(&search.with_base_scorer(scorer)).await?, SCORE_COL)?);
            }
            best.sort_unstable_by(|(row, one), (other_row, other)| other.total_cmp(one).then(row.cmp(other_row)));
            best.truncate(limit);
            return Ok(best);
        }
        let mut scan = self.dataset.scan();
        scan.full_text_search(FullTextSearchQuery::new(words.to_owned()).with_column(schema::WORDS.to_owned())?)?;
        scan.limit(i64::try_from(limit).ok(), None)?;
        scan.disable_scoring_autoprojection().project(&[SCORE_COL])?.with_row_id();
        if let Some(allowed) = allowed {
            scan.with_row_id_prefilter(allowed.clone());
        }
        scored(&batches(&scan).await?, SCORE_COL)
    }
}

/// Runs a step of LanceDB's by itself.
async fn execute(step: &dyn ExecutionPlan) -> lancedb::Result<Vec<RecordBatch>> {
    let found = async { step.execute(0, Arc::default())?.try_collect().await };
    Ok(found.await.map_err(lance::Error::from)?)
}

fn row_ids(batches: &[RecordBatch]) -> lancedb::Result<Vec<u64>> {
    let mut rows = Vec::new();
    for batch in batches {
        rows.extend_from_slice(column::<UInt64Array>(batch, ROW_ID)?.values());
    }
    Ok(rows)
}

/// Rows with what another column says of them.
fn scored(batches: &[RecordBatch], score: &str) -> lancedb::Result<Vec<(u64, f32)>> {
    let mut scored = Vec::new();
    for batch in batches {
        let (rows, scores): (&UInt64Array, &Float32Array) = (column(batch, ROW_ID)?, column(batch, score)?);
        scored.extend(rows.values().iter().copied().zip(scores.values().iter().copied()));
    }
    Ok(scored)
}

/// Leaves the nearest, best first.
fn nearest(rows: &mut Vec<Compared>, limit: usize) {
    let better = |one: &Compared, other: &Compared| other.similarity.total_cmp(&one.similarity);
    if rows.len() > limit && limit > 0 {
        rows.select_nth_unstable_by(limit - 1, better);
    }
    rows.truncate(limit);
    rows.sort_by(better);
}

/// Each place once.
fn once(rows: Vec<Compared>) -> impl Iterator<Item = Compared> {
    let mut seen = HashSet::new();
    rows.into_iter().filter(move |row| seen.insert(row.place))
}
