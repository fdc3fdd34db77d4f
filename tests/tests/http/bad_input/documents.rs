//! Documents that are not stored.

use serde_json::{Value, json};

use super::case::Case;

pub fn documents() -> Vec<Case> {
    let with = |change: Value| {
        let mut body = json!({ "name": "n", "content_type": "text/plain", "text": "t" });
        for (field, value) in change.as_object().expect("an object") {
            body[field] = value.clone();
        }
        body
    };
    let case = |name, change, field| Case::field(name, "/v1/documents", with(change), field);
    let form = |name, parts: &[(&str, &str)], status, problem| {
        let mut body = String::new();
        for (disposition, value) in parts {
            body.push_str(&format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n"));
        }
        body.push_str("--b--\r\n");
        Case::post(name, "/v1/documents", body, status, problem)
            .header("content-type", "multipart/form-data; boundary=b")
    };
    let file = ("name=\"file\"; filename=\"a.txt\"", "text");
    vec![
        case("a document without a name", json!({ "name": "" }), "name"),
        case("a long document name", json!({ "name": "n".repeat(256) }), "name"),
        case("an empty document", json!({ "text": "" }), "text"),
        case("no media type", json!({ "content_type": "text" }), "content_type"),
        case("21 tags", json!({ "tags": vec!["t"; 21] }), "tags"),
        case("an empty tag", json!({ "tags": ["a", ""] }), "tags[1]"),
        case("a tag that is no text", json!({ "tags": ["a", 1] }), "tags[1]"),
        case("a language that is none", json!({ "language": "en_US!" }), "language"),
        case("an unknown document field", json!({ "chunk_size": 5 }), "chunk_size"),
        Case::post("a document of another content type", "/v1/documents", "t", 415, "unsupported-media-type")
            .header("content-type", "text/plain"),
        form("a form without a file", &[("name=\"name\"", "n")], 422, "invalid-request").about("file"),
        form("a form with two files", &[file, file], 422, "invalid-request").about("file"),
        form("an empty file", &[("name=\"file\"; filename=\"a.txt\"", "")], 422, "invalid-request").about("text"),
        form("a file without a name", &[("name=\"file\"", "text")], 422, "invalid-request").about("name"),
        form("an unknown form field", &[file, ("name=\"color\"", "red")], 422, "invalid-request").about("color"),
        form("a form that breaks off", &[], 400, "malformed-request")
            .body("--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nte"),
        form("a form without a boundary", &[], 400, "malformed-request").header("content-type", "multipart/form-data"),
    ]
}
