//! What a search compares, kept in memory: where each row stands, and its vector. What rows say is never kept.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use futures::TryStreamExt;
use jobs::{
    domain::ids::TenantId,
    ports::{Embedding, Place},
};
use lance::{
    Dataset,
    dataset::{ROW_ID, scanner::Scanner},
    table::format::Fragment,
};
use lance_linalg::distance::Dot;
use tokio::sync::Semaphore;

use super::{
    per_fragment::PerFragment,
    rows::{self, missing},
    schema,
};

/// Memory for rows, shared by all tables, in bytes: 170 000 rows of 384 numbers.
const HELD_BYTES: u64 = 256 * 1024 * 1024;
/// Rows of a fragment that a search reads whole, within some milliseconds, to hold them. Those of a larger one are read beside the
/// searches, if there is room for them.
const READ_NOW: usize = 8192;
/// Large fragments read at once.
const READ_AT_ONCE: usize = 1;
/// A row's number is that of its fragment, above these bits, and its place in it.
const FRAGMENT_BITS: u32 = 32;

/// Rows of fragments. What is deleted of one is told by the table's current version, and a merged fragment is another one.
pub struct Held {
    fragments: PerFragment<Rows>,
    reading: Arc<Semaphore>,
}

impl Held {
    pub fn new() -> Self {
        let fragments = PerFragment::new(HELD_BYTES, Rows::bytes);
        Self { fragments, reading: Arc::new(Semaphore::new(READ_AT_ONCE)) }
    }

    /// The rows of a fragment, read if they are not held.
    pub async fn all(&self, dataset: &Arc<Dataset>, fragment: &Fragment) -> lancedb::Result<Arc<Rows>> {
        self.fragments.get_or_read(dataset, fragment, Rows::read(Arc::clone(dataset), fragment.clone())).await
    }

    /// The rows of a fragment, if they are held or are few enough to be read now.
    pub async fn ready(&self, dataset: &Arc<Dataset>, fragment: &Fragment) -> lancedb::Result<Option<Arc<Rows>>> {
        if length(fragment) <= READ_NOW {
            return self.all(dataset, fragment).await.map(Some);
        }
        let held = self.fragments.get(dataset, fragment).await?;
        if held.is_none() {
            self.read_beside(dataset, fragment);
        }
        Ok(held)
    }

    /// Has a large fragment read for later searches, if there is room for it.
    fn read_beside(&self, dataset: &Arc<Dataset>, fragment: &Fragment) {
        let bytes = length(fragment) * dimension(dataset).map_or(0, bytes_each);
        if self.fragments.bytes() + bytes as u64 > HELD_BYTES {
            return;
        }
        let Ok(permit) = Arc::clone(&self.reading).try_acquire_owned() else { return };
        let (fragments, dataset, fragment) = (self.fragments.clone(), Arc::clone(dataset), fragment.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let read = async {
                let rows = Rows::read(Arc::clone(&dataset), fragment.clone()).await?;
                fragments.insert(&dataset, &fragment, rows).await
            };
            // Searches go on as before, and the next one has it read again.
            if let Err(error) = read.await {
                tracing::debug!(%error, "a fragment's rows could not be read");
            }
        });
    }

    /// Lets go of the rows of a tenant's tables.
    pub async fn forget(&self, tenant: TenantId) {
        self.fragments.forget(tenant).await;
    }
}

/// The rows of a fragment, by their places in it.
pub struct Rows {
    dimension: usize,
    /// `None` where a row was deleted already.
    places: Vec<Option<Place>>,
    /// One after the other.
    vectors: Vec<f32>,
}

impl Rows {
    async fn read(dataset: Arc<Dataset>, fragment: Fragment) -> lancedb::Result<Arc<Self>> {
        let (dimension, length) = (dimension(&dataset)?, length(&fragment));
        let mut rows = Self { dimension, places: vec![None; length], vectors: vec![0.0; length * dimension] };
        let mut scan = Scanner::from_fragment(dataset, fragment);
        scan.project(&schema::COMPARED)?.with_row_id();
        let mut batches = scan.try_into_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            rows.fill(&batch)?;
        }
        Ok(Arc::new(rows))
    }

    fn fill(&mut self, batch: &RecordBatch) -> lancedb::Result<()> {
        for (row, place, vector) in rows::compared(batch)? {
            let at = place_in_fragment(row);
            let kept = self.vectors.get_mut(at * self.dimension..(at + 1) * self.dimension);
            kept.ok_or_else(|| missing(ROW_ID))?.copy_from_slice(vector);
            self.places[at] = Some(place);
        }
        Ok(())
    }

    /// Where a row stands; `None` if it was deleted, or is none of the fragment's.
    pub fn place(&self, at: usize) -> Option<Place> {
        self.places.get(at).copied().flatten()
    }

    /// Where its rows stand that were not deleted when they were read.
    pub fn places(&self) -> impl Iterator<Item = (u32, Place)> {
        (0..).zip(&self.places).filter_map(|(at, place)| Some((at, (*place)?)))
    }

    /// The similarity of a row to a query, whose vectors have the length 1.
    pub fn similarity(&self, at: usize, query: &Embedding) -> f32 {
        f32::dot(query, &self.vectors[at * self.dimension..(at + 1) * self.dimension])
    }

    /// The similarities of all rows, deleted ones included.
    pub fn similarities(&self, query: &Embedding) -> Vec<f32> {
        let mut similarities = vec![0.0; self.places.len()];
        f32::dot_batch_into(query, &self.vectors, self.dimension, &mut similarities);
        similarities
    }

    fn bytes(&self) -> usize {
        self.places.len() * bytes_each(self.dimension)
    }
}

fn bytes_each(dimension: usize) -> usize {
    size_of::<Option<Place>>() + dimension * size_of::<f32>()
}

/// Rows of a fragment, deleted ones included.
pub fn length(fragment: &Fragment) -> usize {
    fragment.physical_rows.unwrap_or_default()
}

/// Numbers in a table's vectors.
pub fn dimension(dataset: &Dataset) -> lancedb::Result<usize> {
    match dataset.schema().field(schema::VECTOR).map(|field| field.data_type()) {
        Some(DataType::FixedSizeList(_, dimension)) => usize::try_from(dimension).map_err(|_| missing(schema::VECTOR)),
        _ => Err(missing(schema::VECTOR)),
    }
}

/// The number of a row.
pub fn row(fragment: u64, at: u32) -> u64 {
    fragment << FRAGMENT_BITS | u64::from(at)
}

pub fn fragment_of(row: u64) -> u64 {
    row >> FRAGMENT_BITS
}

pub fn place_in_fragment(row: u64) -> usize {
    (row & ((1 << FRAGMENT_BITS) - 1)) as usize
}
