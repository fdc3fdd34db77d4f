//! Conditions on rows, built from typed ids and quoted tags only.

use jobs::{
    domain::ids::DocumentId,
    ports::{Place, SearchFilter, Versions},
};

/// Tells the rows a search may return by where they stand; `None` when more than that must be known.
pub fn by_place(filter: &SearchFilter) -> Option<impl Fn(&Place) -> bool> {
    if !filter.tags.is_empty() || !filter.languages.is_empty() {
        return None;
    }
    let (mut documents, mut hidden) = (filter.documents.clone(), filter.hidden.clone());
    documents.sort_unstable();
    hidden.sort_unstable();
    Some(move |place: &Place| {
        (documents.is_empty() || documents.binary_search(&place.document).is_ok())
            && hidden.binary_search(&(place.document, place.version)).is_err()
    })
}

/// Rows a search may return, as a condition; `None` when it may return all.
pub fn condition(filter: &SearchFilter) -> Option<String> {
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
    for (document, version) in &filter.hidden {
        conditions.push(format!("NOT ({})", versions(*document, Versions::Only(*version))));
    }
    (!conditions.is_empty()).then(|| conditions.join(" AND "))
}

/// Rows of a document's versions.
pub fn versions(document: DocumentId, versions: Versions) -> String {
    let document = quoted(&document.to_string());
    match versions {
        Versions::All => format!("document = {document}"),
        Versions::Below(version) => format!("document = {document} AND version < {version}"),
        Versions::Only(version) => format!("document = {document} AND version = {version}"),
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
