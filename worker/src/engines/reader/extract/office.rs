//! Office documents (Office Open XML: XML files in a ZIP archive).

mod archive;
mod docx;
mod paragraph;
mod pptx;
mod xlsx;
mod zip;

use self::archive::Archive;
use super::{Part, csv};

/// The parts of a DOCX, of a PPTX by slide, or of an XLSX by sheet.
pub fn parts(bytes: &[u8]) -> Result<Vec<Part>, String> {
    let mut archive = Archive::open(bytes)?;
    if archive.holds("word/document.xml") {
        docx::parts(&mut archive)
    } else if archive.holds("ppt/presentation.xml") {
        pptx::parts(&mut archive)
    } else if archive.holds("xl/workbook.xml") {
        xlsx::parts(&mut archive)
    } else {
        Err("This file type is not supported: it is a ZIP archive and no Office document (DOCX, PPTX, XLSX)."
            .to_owned())
    }
}

/// A table's rows under their first one, or as they are when they are too few to have a header.
fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    if rows.len() > 2 && columns > 1 {
        return csv::blocks(rows);
    }
    let lines: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
    lines.join("\n")
}
