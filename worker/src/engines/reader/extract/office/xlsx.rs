//! Spreadsheets.

use std::collections::HashSet;

use chrono::{Duration, NaiveDate};

use super::{
    archive::{Archive, Node, attribute},
    csv,
};
use crate::engines::reader::Part;

const WORKBOOK: &str = "xl/workbook.xml";
/// Columns of a sheet, as spreadsheet programs limit them.
const MAX_COLUMNS: usize = 16_384;
/// Formats of dates and times that every file knows.
const DATES: [(u32, u32); 3] = [(14, 22), (27, 36), (45, 47)];

/// One part per sheet that holds values: its name as a heading, then its rows, each under the names in the first one.
pub fn parts(archive: &mut Archive) -> Result<Vec<Part>, String> {
    let relations = archive.relations(WORKBOOK)?;
    let mut sheets = Vec::new();
    archive.read(WORKBOOK, |node| {
        if let Node::Open(start) = node
            && start.local_name().as_ref() == "sheet"
            && let Some(relation) = attribute(start, "id").and_then(|id| relations.get(&id))
        {
            sheets.push((attribute(start, "name").unwrap_or_default(), relation.target.clone()));
        }
    })?;
    let strings = shared_strings(archive)?;
    let dates = date_styles(archive)?;
    let mut parts = Vec::new();
    for (name, file) in sheets {
        let text = csv::blocks(rows(archive, &file, &strings, &dates)?);
        if !text.is_empty() {
            parts.push(Part { page: None, text: format!("# {name}\n\n{text}"), markdown: true });
        }
    }
    Ok(parts)
}

/// Texts that cells refer to by number; how a word is to be pronounced is left out.
fn shared_strings(archive: &mut Archive) -> Result<Vec<String>, String> {
    let mut strings = Vec::new();
    let (mut in_text, mut spoken) = (false, false);
    archive.read("xl/sharedStrings.xml", |node| match node {
        Node::Open(start) => match start.local_name().as_ref() {
            "si" => strings.push(String::new()),
            "rPh" => spoken = true,
            "t" => in_text = !spoken,
            _ => {}
        },
        Node::Close("t") => in_text = false,
        Node::Close("rPh") => spoken = false,
        Node::Text(text) if in_text => {
            if let Some(string) = strings.last_mut() {
                string.push_str(text);
            }
        }
        _ => {}
    })?;
    Ok(strings)
}

/// Styles, by their number, whose numbers are days.
fn date_styles(archive: &mut Archive) -> Result<HashSet<usize>, String> {
    let (mut formats, mut dates) = (HashSet::new(), HashSet::new());
    let (mut in_cells, mut style) = (false, 0);
    archive.read("xl/styles.xml", |node| match node {
        Node::Open(start) => match start.local_name().as_ref() {
            "numFmt" => {
                let id = attribute(start, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                let code = attribute(start, "formatCode").unwrap_or_default().to_ascii_lowercase();
                if let Some(id) = id.filter(|_| code.contains('y') || (code.contains('d') && code.contains('m'))) {
                    formats.insert(id);
                }
            }
            "cellXfs" => in_cells = true,
            "xf" if in_cells => {
                let format = attribute(start, "numFmtId").and_then(|id| id.parse::<u32>().ok()).unwrap_or_default();
                let known = DATES.iter().any(|(from, to)| (*from..=*to).contains(&format));
                if known || formats.contains(&format) {
                    dates.insert(style);
                }
                style += 1;
            }
            _ => {}
        },
        Node::Close("cellXfs") => in_cells = false,
        _ => {}
    })?;
    Ok(dates)
}

fn rows(
    archive: &mut Archive,
    sheet: &str,
    strings: &[String],
    dates: &HashSet<usize>,
) -> Result<Vec<Vec<String>>, String> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (mut column, mut kind, mut is_date) = (0, String::new(), false);
    let (mut in_value, mut value) = (false, String::new());
    archive.read(sheet, |node| match node {
        Node::Open(start) => match start.local_name().as_ref() {
            "row" => {
                rows.push(Vec::new());
                column = 0;
            }
            "c" => {
                column = attribute(start, "r").and_then(|cell| column_of(&cell)).unwrap_or(column).min(MAX_COLUMNS - 1);
                kind = attribute(start, "t").unwrap_or_default();
                is_date = attribute(start, "s")
                    .and_then(|style| style.parse().ok())
                    .is_some_and(|style| dates.contains(&style));
                value.clear();
            }
            "v" | "t" => in_value = true,
            _ => {}
        },
        Node::Close("v" | "t") => in_value = false,
        Node::Text(text) if in_value => value.push_str(text),
        Node::Close("c") => {
            if let Some(row) = rows.last_mut() {
                let shown = shown(&kind, &value, is_date, strings);
                if !shown.is_empty() {
                    row.resize(row.len().max(column), String::new());
                    row.insert(column, shown);
                }
            }
            column += 1;
        }
        _ => {}
    })?;
    Ok(rows)
}

/// A cell's value as a person sees it.
fn shown(kind: &str, value: &str, is_date: bool, strings: &[String]) -> String {
    let text = match kind {
        "s" => value.trim().parse::<usize>().ok().and_then(|at| strings.get(at)).cloned().unwrap_or_default(),
        "b" => (if value.trim() == "1" { "yes" } else { "no" }).to_owned(),
        "" | "n" if is_date => value.trim().parse().ok().and_then(date).unwrap_or_else(|| value.to_owned()),
        _ => value.to_owned(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Days since 30 December 1899, as a date, with the time where there is one.
fn date(days: f64) -> Option<String> {
    let start = NaiveDate::from_ymd_opt(1899, 12, 30)?.and_hms_opt(0, 0, 0)?;
    if !(0.0..3_000_000.0).contains(&days) {
        return None;
    }
    let at = start.checked_add_signed(Duration::seconds((days * 86_400.0).round() as i64))?;
    let form = if days.fract() == 0.0 { "%Y-%m-%d" } else { "%Y-%m-%d %H:%M" };
    Some(at.format(form).to_string())
}

/// The column of a cell such as `BC12`, from 0.
fn column_of(cell: &str) -> Option<usize> {
    let letters = cell.bytes().take_while(u8::is_ascii_alphabetic).take(3);
    let number = letters.fold(0, |number, letter| number * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1);
    number.checked_sub(1)
}
