//! Chunks to rows, and rows found to hits.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int32Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
    builder::{FixedSizeListBuilder, Float32Builder, ListBuilder, StringBuilder},
    cast::AsArray,
};
use arrow_schema::{ArrowError, SchemaRef};
use jobs::{
    domain::ids::DocumentId,
    ports::{Chunk, Passage, Place, headed},
};
use lance::dataset::ROW_ID;

use super::{schema, words};

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

/// What the rows say, by their places, which are told by their ids where those were read.
pub fn passages(
    batch: &RecordBatch,
    place_of: impl Fn(u64) -> Option<Place>,
) -> lancedb::Result<HashMap<Place, Passage>> {
    let texts: &StringArray = column(batch, "text")?;
    let (headings, pages): (&StringArray, &UInt32Array) = (column(batch, "heading")?, column(batch, "page")?);
    let passage = |row| Passage {
        text: texts.value(row).to_owned(),
        heading: headings.is_valid(row).then(|| headings.value(row).to_owned()),
        page: pages.is_valid(row).then(|| pages.value(row)),
    };
    let rows = 0..batch.num_rows();
    if batch.column_by_name("id").is_some() {
        let ids = column(batch, "id")?;
        return rows.map(|row| Ok((place(ids, row)?, passage(row)))).collect();
    }
    let held: &UInt64Array = column(batch, ROW_ID)?;
    Ok(rows.filter_map(|row| Some((place_of(held.value(row))?, passage(row)))).collect())
}

/// The numbers, places and vectors of rows, of which [`schema::COMPARED`] was read.
pub fn compared(batch: &RecordBatch) -> lancedb::Result<Vec<(u64, Place, &[f32])>> {
    let (ids, held): (&StringArray, &UInt64Array) = (column(batch, "id")?, column(batch, ROW_ID)?);
    let vectors: &FixedSizeListArray = column(batch, schema::VECTOR)?;
    let numbers: &Float32Array = vectors.values().as_primitive_opt().ok_or_else(|| missing(schema::VECTOR))?;
    let length = vectors.value_length() as usize;
    let rows = (0..batch.num_rows()).map(|row| {
        let from = vectors.value_offset(row) as usize;
        Ok((held.value(row), place(ids, row)?, &numbers.values()[from..from + length]))
    });
    rows.collect()
}

fn place(ids: &StringArray, row: usize) -> lancedb::Result<Place> {
    Place::parse(ids.value(row)).ok_or_else(|| missing("id"))
}

pub fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> lancedb::Result<&'a A> {
    batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref()).ok_or_else(|| missing(name))
}

pub fn missing(column: &str) -> lancedb::Error {
    lancedb::Error::Schema { message: format!("the table's column `{column}` is not as expected") }
}
