//! `?cursor=`: what is read is written back as a cursor that means the same, and belongs to one list.

#![no_main]

use api::cursor::{decode, encode};
use chrono::{DateTime, Utc};
use jobs::domain::ids::ConversationId;
use libfuzzer_sys::fuzz_target;

type Position = (DateTime<Utc>, ConversationId);

fuzz_target!(|text: &str| {
    if let Some(position) = decode::<Position>("conversations", text) {
        assert_eq!(decode("conversations", &encode("conversations", &position)), Some(position));
        assert_eq!(decode::<Position>("documents", text), None);
    }
    let _ = decode::<i64>("transcript", text);
});
