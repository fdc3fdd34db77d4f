//! The words of rows that are in no part of the index of words yet, scored as the index scores its own.
//!
//! LanceDB would read those rows and split them again for every search, after a plan that takes as long. Their terms are kept in memory
//! instead, as hashes: what rows say is not.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use arrow_array::{StringArray, UInt64Array};
use futures::future::try_join_all;
use jobs::domain::ids::TenantId;
use lance::{
    Dataset,
    dataset::{
        ROW_ID,
        scanner::{RowAddrMask, Scanner},
    },
    index::DatasetIndexInternalExt,
    table::format::{Fragment, IndexMetadata},
};
use lance_index::{
    metrics::NoOpMetricsCollector,
    scalar::inverted::{InvertedIndex, MemBM25Scorer, Scorer},
};

use super::{
    held::{self, place_in_fragment},
    per_fragment::PerFragment,
    rows::{column, missing},
    schema,
    snapshot::{Snapshot, batches},
};

/// Memory for terms, shared by all tables, in bytes: 20 000 rows of 200 different ones.
const BYTES: u64 = 64 * 1024 * 1024;
/// Unindexed rows of a table that a search reads, within some milliseconds, to keep their terms. More are searched in their files.
pub const MOST_ROWS: usize = 4096;

/// Terms of fragments.
pub struct Unindexed {
    fragments: PerFragment<Terms>,
    hashing: RandomState,
}

impl Unindexed {
    pub fn new() -> Self {
        Self { fragments: PerFragment::new(BYTES, Terms::bytes), hashing: RandomState::new() }
    }

    async fn terms(&self, dataset: &Arc<Dataset>, fragment: &Fragment) -> lancedb::Result<Arc<Terms>> {
        let read = Terms::read(Arc::clone(dataset), fragment.clone(), &self.hashing);
        self.fragments.get_or_read(dataset, fragment, read).await
    }

    /// Lets go of the terms of a tenant's tables.
    pub async fn forget(&self, tenant: TenantId) {
        self.fragments.forget(tenant).await;
    }
}

/// The terms of a fragment's rows.
struct Terms {
    /// By hash, then by row.
    postings: Vec<Posting>,
    /// Terms of each row, repeated ones included.
    lengths: Vec<u32>,
}

/// A term in a row.
#[derive(Clone, Copy)]
struct Posting {
    term: u64,
    at: u32,
    count: u32,
}

impl Terms {
    async fn read(dataset: Arc<Dataset>, fragment: Fragment, hashing: &RandomState) -> lancedb::Result<Arc<Self>> {
        let mut terms = Self { postings: Vec::new(), lengths: vec![0; held::length(&fragment)] };
        let mut scan = Scanner::from_fragment(dataset, fragment);
        scan.project(&[schema::WORDS])?.with_row_id();
        for batch in batches(&scan).await? {
            let (rows, words): (&UInt64Array, &StringArray) = (column(&batch, ROW_ID)?, column(&batch, schema::WORDS)?);
            for (row, words) in rows.values().iter().zip(words) {
                terms.add(place_in_fragment(*row), words.unwrap_or_default(), hashing)?;
            }
        }
        terms.postings.sort_unstable_by_key(|posting| (posting.term, posting.at));
        Ok(Arc::new(terms))
    }

    fn add(&mut self, at: usize, words: &str, hashing: &RandomState) -> lancedb::Result<()> {
        let mut counts: HashMap<u64, u32> = HashMap::new();
        let length = self.lengths.get_mut(at).ok_or_else(|| missing(ROW_ID))?;
        for term in words.split_whitespace() {
            *counts.entry(hashing.hash_one(term)).or_default() += 1;
            *length += 1;
        }
        let at = u32::try_from(at).map_err(|_| missing(ROW_ID))?;
        self.postings.extend(counts.into_iter().map(|(term, count)| Posting { term, at, count }));
        Ok(())
    }

    /// The rows that hold a term.
    fn of(&self, term: u64) -> &[Posting] {
        let from = self.postings.partition_point(|posting| posting.term < term);
        let rows = self.postings[from..].partition_point(|posting| posting.term == term);
        &self.postings[from..from + rows]
    }

    fn bytes(&self) -> usize {
        self.postings.len() * size_of::<Posting>() + self.lengths.len() * size_of::<u32>()
    }
}

/// The unindexed rows of a table, as a search sees them.
pub struct Tail<'a> {
    fragments: Vec<TailFragment>,
    hashing: &'a RandomState,
}

struct TailFragment {
    id: u64,
    terms: Arc<Terms>,
    is_deleted: Box<dyn Fn(u32) -> bool + Send + Sync>,
}

impl TailFragment {
    /// Rows that are not deleted, with the terms in all of them.
    fn size(&self) -> (usize, u64) {
        let live = (0..).zip(&self.terms.lengths).filter(|(at, _)| !(self.is_deleted)(*at));
        live.fold((0, 0), |(rows, terms), (_, length)| (rows + 1, terms + u64::from(*length)))
    }

    fn of(&self, term: u64) -> impl Iterator<Item = &Posting> {
        self.terms.of(term).iter().filter(|posting| !(self.is_deleted)(posting.at))
    }
}

impl Tail<'_> {
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// The rows that hold any of the terms and are allowed, with their BM25 scores. A term that stands twice counts twice.
    pub fn scored(&self, terms: &[&str], scorer: &MemBM25Scorer, allowed: Option<&RowAddrMask>) -> Vec<(u64, f32)> {
        let mut scores: HashMap<u64, f32> = HashMap::new();
        for term in terms {
            let (hash, weight) = (self.hashing.hash_one(term), scorer.query_weight(term));
            for fragment in &self.fragments {
                for posting in fragment.of(hash) {
                    let row = held::row(fragment.id, posting.at);
                    if allowed.is_none_or(|allowed| allowed.selected(row)) {
                        let length = fragment.terms.lengths[posting.at as usize];
                        *scores.entry(row).or_default() += weight * scorer.doc_weight(posting.count, length);
                    }
                }
            }
        }
        scores.into_iter().collect()
    }
}

impl Snapshot<'_> {
    /// The rows that no part of the index of words holds; `None` when they are more than [`MOST_ROWS`].
    pub async fn tail(&self, parts: &[IndexMetadata]) -> lancedb::Result<Option<Tail<'_>>> {
        let outside: Vec<&Fragment> = self.outside(parts).collect();
        if outside.iter().map(|fragment| held::length(fragment)).sum::<usize>() > MOST_ROWS {
            return Ok(None);
        }
        let fragments = outside.into_iter().map(async |fragment| {
            let terms = self.unindexed.terms(&self.dataset, fragment).await?;
            let is_deleted = Box::new(self.deletions(fragment).await?);
            lancedb::Result::Ok(TailFragment { id: fragment.id, terms, is_deleted })
        });
        let hashing = &self.unindexed.hashing;
        Ok(Some(Tail { fragments: try_join_all(fragments).await?, hashing }))
    }

    /// What BM25 has to know of the terms in the whole table.
    pub async fn scorer(
        &self,
        parts: &[IndexMetadata],
        tail: &Tail<'_>,
        terms: &[&str],
    ) -> lancedb::Result<MemBM25Scorer> {
        let mut different: Vec<String> = terms.iter().map(|term| (*term).to_owned()).collect();
        different.sort_unstable();
        different.dedup();
        let (mut all_terms, mut rows, mut holding) = (0, 0, vec![0; different.len()]);
        for part in parts {
            let index = self.dataset.open_scalar_index(schema::WORDS, &part.uuid, &NoOpMetricsCollector).await?;
            let index: &InvertedIndex = index.as_any().downcast_ref().ok_or_else(|| missing(schema::WORDS))?;
            let (its_terms, its_rows, its_holding) = index.bm25_stats_for_terms(&different, None).await?;
            all_terms += its_terms;
            rows += its_rows;
            holding.iter_mut().zip(its_holding).for_each(|(holding, its)| *holding += its);
        }
        for fragment in &tail.fragments {
            let (its_rows, its_terms) = fragment.size();
            all_terms += its_terms;
            rows += its_rows;
            for (holding, term) in holding.iter_mut().zip(&different) {
                *holding += fragment.of(tail.hashing.hash_one(term.as_str())).count();
            }
        }
        Ok(MemBM25Scorer::new(all_terms, rows, different.into_iter().zip(holding).collect()))
    }
}
