//! Parsers, run in the child process only, but for [`text`].

mod csv;
mod html;
mod json;
mod office;
mod pdf;

use super::{Part, encoding, format::Format};

/// Most text of a document, in bytes: some 5 000 pages.
const MAX_TEXT: usize = 20_000_000;

/// The parts of a file.
///
/// # Errors
///
/// A sentence for the tenant.
pub fn parts(format: Format, bytes: &[u8], content_type: &str) -> Result<Vec<Part>, String> {
    let decoded = || encoding::decode(bytes, content_type);
    let parts = match format {
        Format::Text | Format::Markdown => vec![text(format, bytes, content_type)],
        Format::Html => vec![Part { page: None, text: html::markdown(&decoded()), markdown: true }],
        Format::Csv => vec![Part { page: None, text: csv::records(&decoded()), markdown: false }],
        Format::Json => vec![Part { page: None, text: json::lines(&decoded())?, markdown: false }],
        Format::Pdf => pdf::parts(bytes)?,
        Format::Office => office::parts(bytes)?,
    };
    match parts.iter().map(|part| part.text.len()).sum::<usize>() {
        0..=MAX_TEXT => Ok(parts),
        _ => Err(format!("The document is too long: it holds more than {} MB of text.", MAX_TEXT / 1_000_000)),
    }
}

/// A text or Markdown file, which needs no parser.
pub fn text(format: Format, bytes: &[u8], content_type: &str) -> Part {
    Part { page: None, text: encoding::decode(bytes, content_type), markdown: format == Format::Markdown }
}
