//! Searches and lists with parameters that make no sense.

use serde_json::json;

use super::case::Case;

pub fn searches() -> Vec<Case> {
    let case = |name, body, field| Case::field(name, "/v1/search", body, field);
    vec![
        case("no query", json!({}), "query"),
        case("a blank query", json!({ "query": "  " }), "query"),
        case("a long query", json!({ "query": "q".repeat(4097) }), "query"),
        case("no results wanted", json!({ "query": "q", "limit": 0 }), "limit"),
        case("51 results", json!({ "query": "q", "limit": 51 }), "limit"),
        case("a negative limit of results", json!({ "query": "q", "limit": -1 }), "limit"),
        case("a document id that is none", json!({ "query": "q", "document_ids": ["x"] }), "document_ids[0]"),
        case("101 languages", json!({ "query": "q", "languages": vec!["en"; 101] }), "languages"),
        case("a language that is none", json!({ "query": "q", "languages": ["en", "e_"] }), "languages[1]"),
        case("more similar than the same", json!({ "query": "q", "min_similarity": 1.1 }), "min_similarity"),
        case("a similarity beyond a float", json!({ "query": "q", "min_similarity": -1e300 }), "min_similarity"),
        case("101 tags", json!({ "query": "q", "tags": vec!["t"; 101] }), "tags"),
    ]
}

pub fn lists() -> Vec<Case> {
    let case = |name, path: &str, field| Case::get(name, path, 422, "invalid-request").about(field);
    vec![
        case("a page of 0", "/v1/events?limit=0", "limit"),
        case("a page of 101", "/v1/documents?limit=101", "limit"),
        case("a page size that is no number", "/v1/conversations?limit=x", "limit"),
        case("a cursor that is none", "/v1/events?cursor=nonsense", "cursor"),
        case("an unknown status", "/v1/conversations?status=closed", "status"),
        case("an unknown type of event", "/v1/events?type=message", "type"),
        case("an unknown kind of job", "/v1/jobs/dead?kind=dream", "kind"),
        case("an unknown parameter", "/v1/events?page=2", "page"),
    ]
}
