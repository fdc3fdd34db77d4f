//! A channel's secrets: written, never read.

use axum::{Json as Body, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{audit::Action, channel::ChannelSecret, ids::ChannelId},
    store::{Scope, audit, channels},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Channel, unknown};
use crate::{
    extract::{Caller, Json, PathId, scope::Admin},
    problem::{Fields, Problem},
    request_id::RequestId,
    state::AppState,
};

/// Fewest characters of a secret: of a shorter one, what is shown would give it away.
const MIN_CHARS: usize = 16;
/// Most characters of a secret.
const MAX_CHARS: usize = 1024;

/// What is shown of a secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChannelSecret)]
pub struct Shown {
    #[schema(example = "access_token")]
    name: String,
    #[schema(example = "cdef")]
    last_four: String,
    set_at: DateTime<Utc>,
}

impl From<channels::Shown> for Shown {
    fn from(channels::Shown { name, last_four, set_at }: channels::Shown) -> Self {
        Self { name, last_four, set_at }
    }
}

/// 16 to 1024 visible ASCII characters each; stored encrypted and never shown again. What is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChannelSecrets)]
pub struct Secrets {
    /// Sends messages.
    #[schema(value_type = Option<String>, example = "EAAG0123456789abcdef", min_length = 16, max_length = 1024, pattern = "^[!-~]+$")]
    access_token: Option<SecretString>,
    /// Signs what the provider delivers.
    #[schema(value_type = Option<String>, example = "0123456789abcdef0123456789abcdef", min_length = 16, max_length = 1024, pattern = "^[!-~]+$")]
    app_secret: Option<SecretString>,
    /// Proves to the provider that the subscribed address is the tenant's.
    #[schema(value_type = Option<String>, example = "a-phrase-of-your-own", min_length = 16, max_length = 1024, pattern = "^[!-~]+$")]
    verify_token: Option<SecretString>,
}

impl Secrets {
    fn given(self) -> impl Iterator<Item = (ChannelSecret, SecretString)> {
        let all = [
            (ChannelSecret::AccessToken, self.access_token),
            (ChannelSecret::AppSecret, self.app_secret),
            (ChannelSecret::VerifyToken, self.verify_token),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Sets secrets of a channel, each in place of the one before.
#[utoipa::path(
    patch, path = "/v1/channels/{id}/secrets", tag = "channels", operation_id = "set_channel_secrets",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "chan_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    request_body = Secrets,
    responses((status = 200, description = "The channel.", body = Channel))
)]
pub async fn set(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<ChannelId>,
    Json(secrets): Json<Secrets>,
) -> Result<Body<Channel>, Problem> {
    let secrets: Vec<_> = secrets.given().collect();
    let mut fields = Fields::default();
    for (name, value) in &secrets {
        let plain = value.expose_secret();
        fields.text(name.as_str(), plain, MIN_CHARS..=MAX_CHARS);
        if !plain.bytes().all(|byte| byte.is_ascii_graphic()) {
            fields.refuse(name.as_str(), "has other than visible ASCII characters");
        }
    }
    fields.finish()?;
    let mut tx = state.read(caller.id).await?;
    channels::find(&mut tx, id).await?.ok_or_else(unknown)?;
    let mut after = serde_json::Map::new();
    for (name, value) in &secrets {
        let plain = value.expose_secret();
        let last_four = &plain[plain.len() - 4..];
        channels::set_secret(&mut tx, &state.vault, id, *name, value, last_four).await?;
        after.insert(name.as_str().to_owned(), last_four.into());
    }
    if !after.is_empty() {
        let author = caller.author(request_id);
        let entry = author.made(Some(caller.id), Action::ChannelSecretsSet, id, Value::Object(after));
        audit::record(tx.connection(), &entry).await?;
    }
    let channel = channels::find(&mut tx, id).await?.ok_or_else(unknown)?;
    tx.commit().await?;
    Ok(Body(channel.into()))
}
