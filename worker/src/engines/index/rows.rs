//! Chunks to rows, and rows found to hits.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
    builder::{FixedSizeListBuilder, Float32Builder, ListBuilder, StringBuilder},
    cast::AsArray,
};
use arrow_schema::{ArrowError, SchemaRef};
use jobs::{
    domain::ids::DocumentId,
    ports::{Chunk, Embedding, Hit, Passage, Place, headed},
};

use super::{schema, words};

/// How a leg scores its hits.
#[derive(Clone, Copy)]
pub enum Score<'a> {
    /// By cosine similarity, which comes as a distance.
    Similarity,
    /// By BM25; the similarity is computed from the stored vector.
    Text { vector: &'a Embedding },
}

/// The rows of a document's version.
///
/// # Errors
///
/// When a vector's length is not the table's.
pub fn batch(
    schema: &SchemaRef,
    model: &str,
    document: DocumentId,
    version: i32,
    chunks: &[Chunk],
) -> Result<RecordBatch, ArrowError> {
    let text = |value: &dyn Fn(&Chunk) -> Option<String>| -> ArrayRef {
        Arc::new(chunks.iter().map(value).collect::<StringArray>())
    };
    let mut tags = ListBuilder::new(StringBuilder::new());
    for chunk in chunks {
        tags.append_value(chunk.tags.iter().map(Some));
    }
    RecordBatch::try_new(
        Arc::clone(schema),
        vec![
            text(&|chunk| Some(Place { document, version, position: chunk.position }.chunk_id())),
            text(&|_| Some(document.to_string())),
            Arc::new(Int32Array::from(vec![version; chunks.len()])),
            Arc::new(chunks.iter().map(|chunk| Some(chunk.position)).collect::<UInt32Array>()),
            text(&|chunk| Some(chunk.text.clone())),
            text(&|chunk| chunk.heading.clone()),
            text(&|chunk| Some(words::indexed(&headed(chunk.heading.as_deref(), &chunk.text)))),
            Arc::new(chunks.iter().map(|chunk| chunk.page).collect::<UInt32Array>()),
            Arc::new(tags.finish()),
            text(&|chunk| chunk.language.clone()),
            text(&|_| Some(model.to_owned())),
            Arc::new(chunks.iter().map(|chunk| i32::try_from(chunk.vector.len()).ok()).collect::<Int32Array>()),
            Arc::new(vectors(schema, chunks)?),
        ],
    )
}

fn vectors(schema: &SchemaRef, chunks: &[Chunk]) -> Result<FixedSizeListArray, ArrowError> {
    let dimension = match schema.field_with_name("vector")?.data_type() {
        arrow_schema::DataType::FixedSizeList(_, dimension) => *dimension,
        other => return Err(ArrowError::SchemaError(format!("vector is {other}"))),
    };
    let mut vectors = FixedSizeListBuilder::new(Float32Builder::new(), dimension);
    for chunk in chunks {
        if i32::try_from(chunk.vector.len()) != Ok(dimension) {
            let length = chunk.vector.len();
            return Err(ArrowError::InvalidArgumentError(format!(
                "a vector of {length} numbers in a table of {dimension}"
            )));
        }
        vectors.values().append_slice(&chunk.vector);
        vectors.append(true);
    }
    Ok(vectors.finish())
}

/// The hits in the order of the rows; a chunk id counts once.
pub fn hits(batches: &[RecordBatch], score: Score) -> lancedb::Result<Vec<Hit>> {
    let mut seen = HashSet::new();
    let mut hits = Vec::new();
    for batch in batches {
        let (ids, held): (&StringArray, &UInt64Array) = (column(batch, "id")?, column(batch, "_rowid")?);
        let scores: &Float32Array = match score {
            Score::Similarity => column(batch, "_distance")?,
            Score::Text { .. } => column(batch, "_score")?,
        };
        for row in 0..batch.num_rows() {
            let (similarity, score) = match score {
                Score::Similarity => (1.0 - scores.value(row), 1.0 - scores.value(row)),
                Score::Text { vector } => (similarity(batch, row, vector)?, scores.value(row)),
            };
            let place = place(ids, row)?;
            if seen.insert(place) {
                let Place { document, version, position } = place;
                let (chunk_id, row) = (ids.value(row).to_owned(), held.value(row));
                hits.push(Hit { chunk_id, document, version, position, row, similarity, score });
            }
        }
    }
    Ok(hits)
}

/// Dot product of two normalised vectors.
fn similarity(batch: &RecordBatch, row: usize, query: &Embedding) -> lancedb::Result<f32> {
    let vector = column::<FixedSizeListArray>(batch, schema::VECTOR)?.value(row);
    let vector: &Float32Array = vector.as_primitive_opt().ok_or_else(|| missing(schema::VECTOR))?;
    Ok(vector.values().iter().zip(query.iter()).map(|(a, b)| a * b).sum())
}

/// What the rows say, by their places.
pub fn passages(batches: &[RecordBatch]) -> lancedb::Result<HashMap<Place, Passage>> {
    let mut passages = HashMap::new();
    for batch in batches {
        let (ids, texts): (&StringArray, &StringArray) = (column(batch, "id")?, column(batch, "text")?);
        let (headings, pages): (&StringArray, &UInt32Array) = (column(batch, "heading")?, column(batch, "page")?);
        for row in 0..batch.num_rows() {
            let passage = Passage {
                text: texts.value(row).to_owned(),
                heading: headings.is_valid(row).then(|| headings.value(row).to_owned()),
                page: pages.is_valid(row).then(|| pages.value(row)),
            };
            passages.insert(place(ids, row)?, passage);
        }
    }
    Ok(passages)
}

fn place(ids: &StringArray, row: usize) -> lancedb::Result<Place> {
    Place::parse(ids.value(row)).ok_or_else(|| missing("id"))
}

fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> lancedb::Result<&'a A> {
    batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref()).ok_or_else(|| missing(name))
}

fn missing(column: &str) -> lancedb::Error {
    lancedb::Error::Schema { message: format!("the table's column `{column}` is not as expected") }
}
