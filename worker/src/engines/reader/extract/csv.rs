//! CSV (RFC 4180, with `,`, `;` or a tab) to one block per row.

/// Each row as `column: value` lines under the names in the first row; a blank line between rows.
///
/// Empty values are left out. A value without a column name stands alone.
pub fn records(text: &str) -> Result<String, String> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let separator =
        [';', '\t', ','].into_iter().max_by_key(|separator| first.matches(*separator).count()).unwrap_or(',');
    let mut rows = rows(text, separator).into_iter().filter(|row| row.iter().any(|value| !value.is_empty()));
    let header = rows.next().unwrap_or_default();
    let mut blocks: Vec<String> = rows.map(|row| block(&header, &row)).collect();
    if blocks.is_empty() {
        blocks.push(header.join(", "));
    }
    Ok(blocks.join("\n\n"))
}

fn block(header: &[String], row: &[String]) -> String {
    let lines = row.iter().enumerate().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(column, value)| match header.get(column).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name}: {value}"),
        None => value.clone(),
    });
    lines.collect::<Vec<_>>().join("\n")
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
