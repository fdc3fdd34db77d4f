//! A table as a search sees it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::RecordBatch;
use futures::{TryStreamExt, future::try_join_all};
use jobs::ports::{Embedding, Hit, Passage, Place};
use lance::{
    Dataset,
    dataset::{ProjectionRequest, ROW_ID, fragment::FileFragment, scanner::Scanner},
    table::format::{Fragment, IndexMetadata},
};
use lance_linalg::distance::Dot;

use super::{
    filter,
    held::{self, Held, Rows, fragment_of, place_in_fragment},
    parts, rows, schema,
    unindexed::Unindexed,
};

/// A table as it was when a search began, and what is held of its rows.
pub struct Snapshot<'a> {
    pub dataset: Arc<Dataset>,
    pub held: &'a Held,
    pub unindexed: &'a Unindexed,
}

/// A row that a search compared with its query.
pub struct Compared {
    pub row: u64,
    pub place: Place,
    pub similarity: f32,
}

impl Compared {
    pub fn hit(&self, score: f32) -> Hit {
        let Place { document, version, position } = self.place;
        let (row, similarity) = (self.row, self.similarity);
        Hit { chunk_id: self.place.chunk_id(), document, version, position, row, similarity, score }
    }
}

impl Snapshot<'_> {
    /// Fragments whose rows are in no part of an index.
    pub fn outside(&self, parts: &[IndexMetadata]) -> impl Iterator<Item = &Fragment> {
        self.dataset.fragments().iter().filter(|fragment| parts::holding(parts, fragment).is_none())
    }

    /// Tells which rows of a fragment are deleted.
    pub async fn deletions(&self, fragment: &Fragment) -> lancedb::Result<impl Fn(u32) -> bool + Send + Sync + use<>> {
        let deleted = FileFragment::new(Arc::clone(&self.dataset), fragment.clone()).get_deletion_vector().await?;
        Ok(move |at| deleted.as_ref().is_some_and(|deleted| deleted.contains(at)))
    }

    /// The rows of a fragment that are not deleted, with their places.
    pub async fn live<'r>(
        &self,
        fragment: &Fragment,
        rows: &'r Rows,
    ) -> lancedb::Result<impl Iterator<Item = (u64, Place)> + 'r> {
        let is_deleted = self.deletions(fragment).await?;
        let id = fragment.id;
        Ok(rows.places().filter(move |(at, _)| !is_deleted(*at)).map(move |(at, place)| (held::row(id, at), place)))
    }

    /// Where rows stand and how similar they are, in the order given; those of fragments that are not held are read.
    pub async fn compare(&self, rows: &[u64], query: &Embedding) -> lancedb::Result<Vec<Compared>> {
        let held = self.ready(self.of(rows)).await?;
        let mut elsewhere: Vec<u64> =
            rows.iter().copied().filter(|row| !held.contains_key(&fragment_of(*row))).collect();
        elsewhere.sort_unstable();
        let read = self.read(&elsewhere, query).await?;
        let compared = |row: &u64| match held.get(&fragment_of(*row)) {
            Some(rows) => {
                let at = place_in_fragment(*row);
                Some((rows.place(at)?, rows.similarity(at, query)))
            }
            None => read.get(row).copied(),
        };
        let compared = rows
            .iter()
            .filter_map(|row| compared(row).map(|(place, similarity)| Compared { row: *row, place, similarity }));
        Ok(compared.collect())
    }

    /// The fragments that hold some rows.
    fn of(&self, rows: &[u64]) -> impl Iterator<Item = &Fragment> {
        let ids: HashSet<u64> = rows.iter().map(|row| fragment_of(*row)).collect();
        self.dataset.fragments().iter().filter(move |fragment| ids.contains(&fragment.id))
    }

    /// The rows of those fragments that are held.
    pub async fn ready(&self, fragments: impl Iterator<Item = &Fragment>) -> lancedb::Result<HashMap<u64, Arc<Rows>>> {
        let held = fragments.map(async |fragment| {
            let rows = self.held.ready(&self.dataset, fragment).await?;
            lancedb::Result::Ok(rows.map(|rows| (fragment.id, rows)))
        });
        Ok(try_join_all(held).await?.into_iter().flatten().collect())
    }

    /// Where rows stand and how similar they are, as their file tells.
    async fn read(&self, rows: &[u64], query: &Embedding) -> lancedb::Result<HashMap<u64, (Place, f32)>> {
        if rows.is_empty() {
            return Ok(HashMap::new());
        }
        let batch = self.take(rows, &schema::COMPARED).await?;
        let read = rows::compared(&batch)?.into_iter();
        Ok(read.map(|(row, place, vector)| (row, (place, f32::dot(query, vector)))).collect())
    }

    /// Columns of rows, with their numbers, without a plan. Those that were deleted are left out.
    async fn take(&self, rows: &[u64], columns: &[&str]) -> lancedb::Result<RecordBatch> {
        let columns = columns.iter().copied().chain([ROW_ID]);
        Ok(self.dataset.take_rows(rows, ProjectionRequest::from_columns(columns, self.dataset.schema())).await?)
    }

    /// The passages at these places.
    ///
    /// Those that are at the rows given are taken by them, without a plan. Where a row holds another place, as it moved when fragments
    /// were merged, the place is looked for by its id, which reads that column whole.
    pub async fn passages(&self, wanted: &HashMap<Place, u64>) -> lancedb::Result<HashMap<Place, Passage>> {
        // Taking what is not there panics.
        let lengths: HashMap<u64, usize> =
            self.dataset.fragments().iter().map(|fragment| (fragment.id, held::length(fragment))).collect();
        let exists =
            |row: &u64| lengths.get(&fragment_of(*row)).is_some_and(|length| place_in_fragment(*row) < *length);
        let mut rows: Vec<u64> = wanted.values().copied().filter(exists).collect();
        // Sorted ones need not be put back into another order.
        rows.sort_unstable();
        rows.dedup();
        let mut found = HashMap::new();
        if !rows.is_empty() {
            let held = self.ready(self.of(&rows)).await?;
            let place = |row: u64| held.get(&fragment_of(row)).map(|rows| rows.place(place_in_fragment(row)));
            let columns = if rows.iter().all(|row| place(*row).is_some()) {
                &schema::PASSAGE[..]
            } else {
                &schema::PLACED_PASSAGE[..]
            };
            let batch = self.take(&rows, columns).await?;
            found = rows::passages(&batch, |row| place(row).flatten())?;
        }
        found.retain(|place, _| wanted.contains_key(place));
        let elsewhere: Vec<Place> = wanted.keys().copied().filter(|place| !found.contains_key(place)).collect();
        if !elsewhere.is_empty() {
            let mut scan = self.dataset.scan();
            scan.filter(&filter::at(&elsewhere))?.project(&schema::PLACED_PASSAGE)?;
            for batch in batches(&scan).await? {
                found.extend(rows::passages(&batch, |_| None)?);
            }
        }
        Ok(found)
    }
}

/// What a scan finds.
pub async fn batches(scan: &Scanner) -> lancedb::Result<Vec<RecordBatch>> {
    Ok(scan.try_into_stream().await?.try_collect().await?)
}
