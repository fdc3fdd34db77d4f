//! PDF to the text of its pages.

use pdf_extract::{Document, PlainTextOutput, output_doc_page};

use super::Part;

/// One part per page that holds text. Pages are read one by one, because `extract_text_from_mem_by_pages` stops
/// without a word at the first page it cannot read.
pub fn parts(bytes: &[u8]) -> Result<Vec<Part>, String> {
    let document = Document::load_mem(bytes).map_err(|error| match is_about_encryption(&error.to_string()) {
        true => encrypted(),
        false => "The PDF is damaged and could not be opened.".to_owned(),
    })?;
    // The key stays in the trailer when the empty password does not open the file; a file it opens is read.
    if document.trailer.get(b"Encrypt").is_ok() {
        return Err(encrypted());
    }
    let mut parts = Vec::new();
    for page in document.get_pages().into_keys() {
        let mut text = String::new();
        output_doc_page(&document, &mut PlainTextOutput::new(&mut text), page)
            .map_err(|error| format!("Page {page} of the PDF could not be read: {error}."))?;
        let text = tidy(&text);
        if !text.is_empty() {
            parts.push(Part { page: Some(page), text, markdown: false });
        }
    }
    match parts.is_empty() {
        true => Err("The PDF holds no text. It may be a scan: upload a version with recognised text.".to_owned()),
        false => Ok(parts),
    }
}

fn encrypted() -> String {
    "The PDF is encrypted. Upload a version without a password.".to_owned()
}

fn is_about_encryption(error: &str) -> bool {
    ["crypt", "password"].iter().any(|word| error.to_lowercase().contains(word))
}

/// Lines without surplus spaces, at most one blank line in a row, words broken at a line's end put together.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    for line in text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")) {
        let broken = tidy.ends_with("-\n") && tidy.chars().rev().nth(2).is_some_and(char::is_alphabetic);
        match line.chars().next() {
            Some(first) if broken && first.is_lowercase() => tidy.truncate(tidy.len() - 2),
            None if tidy.is_empty() || tidy.ends_with("\n\n") => continue,
            _ => {}
        }
        tidy.push_str(&line);
        tidy.push('\n');
    }
    tidy.trim().replace('\0', "")
}
