//! Collects what is wrong with a request's fields, so that a client hears of all of it at once.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};

use super::{FieldError, Problem};

/// Longest language tag.
pub const MAX_LANGUAGE_CHARS: usize = 35;

#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    pub fn refuse(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), detail: detail.into() });
    }

    /// Keeps the value of a field that was parsed, and the reason of one that was not.
    pub fn keep<T, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|reason| self.refuse(field, reason.to_string())).ok()
    }

    /// Refuses a text with a length, in characters, outside of the range, or with a NUL, which Postgres cannot hold.
    pub fn text(&mut self, field: &str, text: &str, length: RangeInclusive<usize>) {
        let chars = text.chars().count();
        if !length.contains(&chars) {
            let (least, most) = length.into_inner();
            self.refuse(field, format!("has {chars} characters; {least} to {most} are allowed"));
        } else if text.contains('\0') {
            self.refuse(field, "contains a NUL character");
        }
    }

    /// Refuses a text that is empty, blank or longer than `most` characters. Blank is Unicode's white space: what a description calls
    /// `\s` (ECMA 262), and U+0085.
    pub fn not_blank(&mut self, field: &str, text: &str, most: usize) {
        self.text(field, text, 1..=most);
        if text.trim().is_empty() && !text.is_empty() {
            self.refuse(field, "is blank");
        }
    }

    /// Refuses what is not in the form of a language tag (BCP 47).
    pub fn language(&mut self, field: &str, language: &str) {
        self.text(field, language, 1..=MAX_LANGUAGE_CHARS);
        if !language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            self.refuse(field, "is not a language tag such as en or pt-BR");
        }
    }

    /// Refuses a time that is past.
    pub fn future(&mut self, field: &str, at: Option<DateTime<Utc>>) {
        if at.is_some_and(|at| at <= Utc::now()) {
            self.refuse(field, "is past");
        }
    }

    pub fn finish(self) -> Result<(), Problem> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Problem::fields(self.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_are_named() {
        let mut fields = Fields::default();
        fields.text("a", "ž".repeat(200).as_str(), 1..=200);
        fields.text("b", "", 1..=200);
        fields.text("c", "x\0", 1..=200);
        assert_eq!(fields.keep("d", "5".parse::<i32>()), Some(5));
        assert_eq!(fields.0.iter().map(|error| error.field.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert!(fields.finish().is_err());
        assert!(Fields::default().finish().is_ok());
    }
}
