//! Conditions on rows, built from typed ids and quoted tags only.

use jobs::{
    domain::ids::DocumentId,
    ports::{Place, SearchFilter},
};

/// Rows a search may return; `None` when it may return all.
pub fn allowed(filter: &SearchFilter) -> Option<String> {
    let mut conditions = Vec::new();
    if !filter.documents.is_empty() {
        let ids: Vec<String> = filter.documents.iter().map(|id| quoted(&id.to_string())).collect();
        conditions.push(format!("document IN ({})", ids.join(", ")));
    }
    if !filter.tags.is_empty() {
        let tags: Vec<String> = filter.tags.iter().map(|tag| quoted(tag)).collect();
        conditions.push(format!("array_has_any(tags, make_array({}))", tags.join(", ")));
    }
    if !filter.languages.is_empty() {
        let languages = filter.languages.iter().map(|language| language.to_lowercase());
        let languages = languages.flat_map(|language| [quoted(&language), quoted(&format!("{language}-%"))]);
        let languages: Vec<String> = languages.map(|language| format!("lower(language) LIKE {language}")).collect();
        conditions.push(format!("({})", languages.join(" OR ")));
    }
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

/// Rows of a document's versions below `version`; of all versions with `i32::MAX`.
pub fn versions_below(document: DocumentId, version: i32) -> String {
    let document = quoted(&document.to_string());
    match version {
        i32::MAX => format!("document = {document}"),
        _ => format!("document = {document} AND version < {version}"),
    }
}

/// The rows at these places.
pub fn at(places: &[Place]) -> String {
    let ids: Vec<String> = places.iter().map(|place| quoted(&place.chunk_id())).collect();
    format!("id IN ({})", ids.join(", "))
}

/// An SQL string; a quote inside is doubled, and no other character is special there.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
