//! Which field a refusal of serde is about.

use crate::problem::FieldError;

/// Splits axum's `path: reason` into its parts.
///
/// A reason alone may hold a colon as well (`invalid type: integer, expected a string`), but its first part always
/// holds a space and a path of ours never does. A reason without a path names the field itself, in backquotes.
pub fn field_error(text: &str) -> FieldError {
    let (path, reason) = match text.split_once(": ") {
        Some((path, reason)) if !path.contains(' ') => (path, reason),
        _ => ("", text),
    };
    let detail = reason.split(" at line ").next().unwrap_or(reason).to_owned();
    let field = match missing(reason) {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) => format!("{path}.{name}"),
        None => path.to_owned(),
    };
    FieldError { field, detail }
}

fn missing(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.split_once('`').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_found() {
        for (text, field, detail) in [
            ("missing field `text` at line 1 column 2", "text", "missing field `text`"),
            ("contact: missing field `id` at line 1 column 9", "contact.id", "missing field `id`"),
            (
                "tags[1]: invalid type: integer `5`, expected a string",
                "tags[1]",
                "invalid type: integer `5`, expected a string",
            ),
            ("invalid type: map, expected a string", "", "invalid type: map, expected a string"),
        ] {
            assert_eq!(field_error(text), FieldError { field: field.into(), detail: detail.into() });
        }
    }
}
