//! Positions in a list, opaque to clients.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

/// Longest cursor looked at.
const MAX_CHARS: usize = 512;

/// Writes a position. `list` names the list, so that a cursor of one is refused by another.
pub fn encode<T: Serialize>(list: &str, position: &T) -> String {
    let json = serde_json::to_vec(&(list, position)).expect("a position is plain data");
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

/// Reads a position; `None` for a text that [`encode`] did not write for this list.
pub fn decode<T: DeserializeOwned>(list: &str, cursor: &str) -> Option<T> {
    if cursor.len() > MAX_CHARS {
        return None;
    }
    let json = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (named, position): (String, T) = serde_json::from_slice(&json).ok()?;
    (named == list).then_some(position)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use jobs::domain::ids::ConversationId;

    use super::*;

    #[test]
    fn positions_round_trip_within_their_list() {
        let position =
            (DateTime::<Utc>::from_timestamp_micros(1_800_000_000_123_456).unwrap(), ConversationId::generate());
        let cursor = encode("conversations", &position);
        assert_eq!(decode("conversations", &cursor), Some(position));
        assert_eq!(decode::<(DateTime<Utc>, ConversationId)>("documents", &cursor), None);
        assert_eq!(decode::<i32>("conversations", &cursor), None);
        for odd in ["", "x", "!!!", &"A".repeat(513)] {
            assert_eq!(decode::<i32>("conversations", odd), None, "{odd}");
        }
    }
}
