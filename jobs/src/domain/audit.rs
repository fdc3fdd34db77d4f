//! What the audit log says: who did what to what.

use serde_json::Value;

use super::ids::{ApiKeyId, OperatorKeyId, TenantId, UserId};

macro_rules! actions {
    ($($name:ident = $wire:literal,)+) => {
        /// A change of a credential, a user or a setting; its text form is part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($name,)+
        }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }
        }
    };
}

actions! {
    TenantCreated = "tenant.created",
    TenantUpdated = "tenant.updated",
    TenantErased = "tenant.erased",
    ApiKeyCreated = "api_key.created",
    ApiKeyRotated = "api_key.rotated",
    ApiKeyRevoked = "api_key.revoked",
    OperatorKeyCreated = "operator_key.created",
    OperatorKeyRotated = "operator_key.rotated",
    OperatorKeyRevoked = "operator_key.revoked",
    ModelKeySet = "model_key.set",
    ModelKeyRemoved = "model_key.removed",
    ChannelCreated = "channel.created",
    ChannelDeleted = "channel.deleted",
    ChannelSecretsSet = "channel.secrets_set",
    EndpointCreated = "webhook_endpoint.created",
    EndpointDeleted = "webhook_endpoint.deleted",
    UserInvited = "user.invited",
    UserUpdated = "user.updated",
    UserRemoved = "user.removed",
    UserJoined = "user.joined",
    PasswordChanged = "user.password_changed",
    SessionStarted = "session.started",
    SessionEnded = "session.ended",
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// The operator: by a key of the database, or by the environment's.
    Operator(Option<OperatorKeyId>),
    Key(ApiKeyId),
    User(UserId),
}

/// One change, told in the transaction that makes it.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// `None` for what belongs to the operator alone.
    pub tenant: Option<TenantId>,
    pub actor: Actor,
    pub action: Action,
    /// The id of what was changed.
    pub target: String,
    /// The changed members, never a secret.
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub request_id: &'a str,
}
