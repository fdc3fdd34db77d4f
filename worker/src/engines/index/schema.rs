//! Columns of a tenant's table.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};

/// The words of heading and text: what full-text search reads, so that a heading's words find its passage.
pub const WORDS: &str = "words";

pub const VECTOR: &str = "vector";

/// Read of the rows that are compared: a row's `id` tells its document, version and position, and each column that is read costs a
/// hundred small reads.
pub const COMPARED: [&str; 2] = ["id", VECTOR];

/// Read of the passages that are wanted in the end; and what tells their places, where those are not known.
pub const PASSAGE: [&str; 3] = ["text", "heading", "page"];
pub const PLACED_PASSAGE: [&str; 4] = ["id", "text", "heading", "page"];

/// ```text
/// id             text    {document}:{version}:{position}
/// document       text    doc_…
/// version        int32
/// position       uint32  reading order within the version, from 0
/// text           text    as shown to people
/// heading        text?   outer › inner
/// words          text    of heading and text, as words.rs makes them
/// page           uint32?
/// tags           [text]
/// language       text?
/// model          text    id of the vector's embedding model: name and version
/// dimension      int32   numbers in the vector
/// vector         [f32; dimension]
/// ```
pub fn schema(dimension: usize) -> SchemaRef {
    let numbers = Arc::new(Field::new("item", DataType::Float32, true));
    let dimension = i32::try_from(dimension).unwrap_or(i32::MAX);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("document", DataType::Utf8, false),
        Field::new("version", DataType::Int32, false),
        Field::new("position", DataType::UInt32, false),
        Field::new("text", DataType::Utf8, false),
        Field::new("heading", DataType::Utf8, true),
        Field::new(WORDS, DataType::Utf8, false),
        Field::new("page", DataType::UInt32, true),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), false),
        Field::new("language", DataType::Utf8, true),
        Field::new("model", DataType::Utf8, false),
        Field::new("dimension", DataType::Int32, false),
        Field::new(VECTOR, DataType::FixedSizeList(numbers, dimension), false),
    ]))
}
