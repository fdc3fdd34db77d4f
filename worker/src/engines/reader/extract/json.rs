//! JSON to readable lines.

use serde_json::Value;

/// One block per object of an array, with `name: value` lines; nested names are joined by a dot.
///
/// A list of plain values becomes one line. An object that holds arrays of objects gives a block for each of those
/// after its own fields. Several values after each other, such as one a line, are read as an array of them.
pub fn lines(text: &str) -> Result<String, String> {
    let mut blocks = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| match error.to_string() {
            deep if deep.starts_with("recursion limit") => format!("The JSON is nested too deeply: {deep}."),
            invalid => format!("The JSON is not valid: {invalid}."),
        })?;
        push_block(&value, &mut blocks);
    }
    Ok(blocks.join("\n\n"))
}

fn push_block(value: &Value, blocks: &mut Vec<String>) {
    match value {
        Value::Array(items) if !items.iter().all(is_plain) => items.iter().for_each(|item| push_block(item, blocks)),
        _ => {
            let mut own = Vec::new();
            let mut lists = Vec::new();
            push_lines("", value, &mut own, &mut lists);
            if !own.is_empty() {
                blocks.push(own.join("\n"));
            }
            lists.into_iter().for_each(|list| push_block(list, blocks));
        }
    }
}

fn push_lines<'a>(name: &str, value: &'a Value, own: &mut Vec<String>, lists: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                push_lines(&name, value, own, lists);
            }
        }
        Value::Array(items) if items.iter().all(is_plain) => {
            let items: Vec<String> = items.iter().filter_map(plain).collect();
            push_line(name, &items.join(", "), own);
        }
        Value::Array(_) => lists.push(value),
        _ => push_line(name, &plain(value).unwrap_or_default(), own),
    }
}

fn push_line(name: &str, value: &str, own: &mut Vec<String>) {
    match (name, value.trim()) {
        (_, "") => {}
        ("", value) => own.push(value.to_owned()),
        (name, value) => own.push(format!("{name}: {value}")),
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}
