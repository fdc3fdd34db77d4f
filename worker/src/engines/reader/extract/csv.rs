//! CSV (RFC 4180, with any usual separator) to one block per row.

/// Separators that are tried; of two that do as well, the first one is taken.
const SEPARATORS: [char; 6] = [',', ';', '\t', '|', '^', '~'];
/// Characters and rows that tell the separator.
const LOOKED_AT: usize = 64 * 1024;
const ROWS: usize = 50;

/// Each row as `column: value` lines under the names in the first row; a blank line between rows.
pub fn records(text: &str) -> String {
    blocks(rows(text, separator(text)))
}

/// Rows under the names in the first one, so that each says by itself what its values are.
///
/// Empty values are left out. A value without a column name stands alone, and so do names that no row has a value for.
pub fn blocks(rows: Vec<Vec<String>>) -> String {
    let mut rows = rows.into_iter().filter(|row| row.iter().any(|value| !value.is_empty()));
    let header = rows.next().unwrap_or_default();
    let mut used = vec![false; header.len()];
    let mut blocks = Vec::new();
    for row in rows {
        used.iter_mut().zip(&row).for_each(|(used, value)| *used |= !value.is_empty());
        blocks.push(block(&header, &row));
    }
    let unused =
        header.iter().zip(used).filter(|(name, used)| !used && !name.is_empty()).map(|(name, _)| name.as_str());
    let unused = unused.collect::<Vec<_>>().join(", ");
    if !unused.is_empty() {
        blocks.push(unused);
    }
    blocks.join("\n\n")
}

fn block(header: &[String], row: &[String]) -> String {
    let lines = row.iter().enumerate().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(column, value)| match header.get(column).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name}: {value}"),
        None => value.clone(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The separator that cuts the first rows into the same number of columns most often, and into most of them.
fn separator(text: &str) -> char {
    let beginning = &text[..text.floor_char_boundary(LOOKED_AT)];
    let fit = |separator: char| {
        let mut rows = rows(beginning, separator);
        // The last one may be cut off.
        if beginning.len() < text.len() {
            rows.pop();
        }
        rows.retain(|row| row.iter().any(|value| !value.is_empty()));
        rows.truncate(ROWS);
        let columns = rows.first().map_or(0, Vec::len);
        let alike = rows.iter().filter(|row| row.len() == columns).count();
        if columns > 1 { (alike * 100 / rows.len(), columns) } else { (0, 0) }
    };
    let best = SEPARATORS.into_iter().rev().max_by_key(|separator| fit(*separator));
    best.unwrap_or(SEPARATORS[0])
}

/// Fields, trimmed, line breaks inside them as spaces. A quote that is never closed ends with the text.
fn rows(text: &str, separator: char) -> Vec<Vec<String>> {
    let mut rows = vec![];
    let mut row = vec![];
    let mut field = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    let finish = |field: &mut String| std::mem::take(field).split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.trim().is_empty() => quoted = true,
            _ if quoted => field.push(character),
            '\n' => {
                row.push(finish(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            _ if character == separator => row.push(finish(&mut field)),
            _ => field.push(character),
        }
    }
    row.push(finish(&mut field));
    rows.push(row);
    rows
}
