//! Ids in paths and bodies: one text for each, and of one kind.

#![no_main]

use jobs::domain::ids::{ConversationId, MessageId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text.to_ascii_lowercase());
        assert!(text.parse::<ConversationId>().is_err());
        let _ = id.created_at();
    }
    let _ = text.parse::<ConversationId>().map(ConversationId::created_at);
});
