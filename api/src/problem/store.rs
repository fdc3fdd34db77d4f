//! What a failed statement means to the client.

use jobs::store::{OriginalsError, StoreError};

use super::{Kind, Problem};

/// An outage may pass; a named constraint that a client can run into is the client's; the rest is ours.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_outage() {
            return Self::unavailable("The database is not available right now.").cause(error);
        }
        match &error {
            StoreError::Constraint(name) => match name.as_str() {
                "jobs_kind_key_unique" => Self::new(Kind::AlreadyQueued),
                "dead_job_replays_one_running" => Self::new(Kind::LimitReached)
                    .detail("A replay is running: wait until it has finished, or cancel it.")
                    .with("limit", 1),
                "users_email_unique" => Self::new(Kind::EmailTaken),
                "channels_account_unique" => Self::new(Kind::AccountTaken),
                // Erased between the look-up and the write.
                "channel_secrets_channel_fk" => Self::not_found("channel"),
                "messages_conversation_fk" | "message_stream_conversation_fk" => Self::not_found("conversation"),
                _ => Self::new(Kind::Internal).cause(error),
            },
            StoreError::TenantClosed => Self::new(Kind::TenantDisabled),
            _ => Self::new(Kind::Internal).cause(error),
        }
    }
}

impl From<OriginalsError> for Problem {
    fn from(error: OriginalsError) -> Self {
        Self::unavailable("The store of documents is not available right now.").cause(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_constraints_are_the_clients_and_the_rest_is_not_shown() {
        let of = |name: &str| Problem::from(StoreError::Constraint(name.to_owned()));
        assert_eq!(of("jobs_kind_key_unique").kind(), Kind::AlreadyQueued);
        assert_eq!(of("messages_conversation_fk").kind(), Kind::NotFound);
        let unknown = of("api_keys_hash_unique");
        assert_eq!((unknown.kind(), unknown.detail), (Kind::Internal, None));
    }
}
