//! Uploads, as a form or as JSON: what is accepted keeps to the limits that the store relies on.

#![no_main]

use api::routes::documents::body;
use futures::executor::block_on;
use jobs::domain::document::{MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAGS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(request) = fuzz::request(data) else { return };
    let Ok(upload) = block_on(body::read(request)) else { return };
    let fits = |text: &str, most: usize| (1..=most).contains(&text.chars().count()) && !text.contains('\0');
    assert!(!upload.bytes.is_empty());
    assert!(fits(&upload.name, MAX_NAME_CHARS) && fits(&upload.content_type, 255));
    assert!(upload.tags.len() <= MAX_TAGS && upload.tags.iter().all(|tag| fits(tag, MAX_TAG_CHARS)));
    assert!(upload.language.is_none_or(|language| fits(&language, 35)));
});
