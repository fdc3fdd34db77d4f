//! Identifiers: UUIDv7 inside, `prefix_` + 32 hex digits in the API.
//!
//! A typed id cannot be passed where another kind is meant, and the prefix tells a reader of a log or a
//! support ticket what it names. UUIDv7 carries its creation time, which prunes partitions on look-up.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}_` followed by 32 hexadecimal digits")]
pub struct InvalidId {
    pub prefix: &'static str,
}

/// Creation time held in a UUIDv7, to the millisecond; the epoch for any other version.
pub fn created_at(id: Uuid) -> DateTime<Utc> {
    id.get_timestamp()
        .and_then(|at| {
            let (seconds, nanos) = at.to_unix();
            DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos / 1_000_000 * 1_000_000)
        })
        .unwrap_or_default()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id, later than every id made before in this process.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// When the id was made, to the millisecond.
            pub fn created_at(self) -> DateTime<Utc> {
                created_at(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(/** A tenant: the owner of everything else. */ TenantId, "tnt");
id!(/** An API key's record, not its secret. */ ApiKeyId, "key");
id!(/** An operator's key's record, not its secret. */ OperatorKeyId, "opk");
id!(/** A person of a tenant's team. */ UserId, "usr");
id!(/** A log-in of a person. */ SessionId, "ses");
id!(/** An entry of the audit log. */ AuditId, "aud");
id!(/** A conversation with one contact. */ ConversationId, "conv");
id!(/** A message, from a customer, the assistant or an agent. */ MessageId, "msg");
id!(/** A document of the tenant's knowledge. */ DocumentId, "doc");
id!(/** An event of the catalogue; also the `webhook-id` a receiver deduplicates on. */ EventId, "evt");
id!(/** An account at a provider where customers write. */ ChannelId, "chan");
id!(/** A webhook endpoint. */ EndpointId, "whe");
id!(/** A hand-over to a human. */ EscalationId, "esc");
id!(/** A search made through the API. */ SearchId, "srch");
id!(/** An entry of the request log. */ RequestLogId, "log");
id!(/** A job in the ledger. */ JobId, "job");
id!(/** A replay of many dead jobs. */ ReplayId, "rpl");
id!(/** A request to erase, and its receipt. */ ErasureId, "era");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_refuses_other_kinds() {
        let id = MessageId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().parse::<TenantId>(), Err(InvalidId { prefix: "tnt" }));
        assert!(id.uuid().to_string().parse::<MessageId>().is_err());
        assert!(format!("msg_{}", id.uuid()).parse::<MessageId>().is_err());
    }

    #[test]
    fn creation_time_is_read_back_to_the_millisecond() {
        let before = Utc::now().timestamp_millis();
        let made = MessageId::generate().created_at().timestamp_millis();
        assert!((before..=Utc::now().timestamp_millis()).contains(&made));
        assert_eq!(created_at(Uuid::nil()), DateTime::UNIX_EPOCH);
    }
}
