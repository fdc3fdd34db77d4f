//! Parsers, run in the child process only.

mod csv;
mod html;
mod json;
mod pdf;

use super::Part;

/// The parts of a file in one of the formats the parent hands over; text formats come as UTF-8.
///
/// # Errors
///
/// A sentence for the tenant.
pub fn parts(content_type: &str, bytes: &[u8]) -> Result<Vec<Part>, String> {
    let text = || std::str::from_utf8(bytes).map_err(|_| "The text is not valid UTF-8.".to_owned());
    match content_type {
        "application/pdf" => pdf::parts(bytes),
        "text/html" => Ok(vec![Part { page: None, text: html::markdown(text()?)?, markdown: true }]),
        "text/csv" => Ok(vec![Part { page: None, text: csv::records(text()?)?, markdown: false }]),
        "application/json" => Ok(vec![Part { page: None, text: json::lines(text()?)?, markdown: false }]),
        other => Err(format!("This file type is not supported: {other}.")),
    }
}
