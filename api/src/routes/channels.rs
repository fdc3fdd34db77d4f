//! Channels: accounts at providers where a tenant's customers write, and what they are opened with.

pub mod secrets;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        audit::Action,
        channel::{ChannelConfig, ChannelType},
        ids::ChannelId,
    },
    store::{
        Scope, audit,
        channels::{self, NewChannel},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{
        Caller, Json, KeyHeader, Keyed, PathId, Query, Traceparent,
        scope::{Admin, Read},
    },
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

const MAX_NAME: usize = 200;
/// Most characters of an account's id.
const MAX_ACCOUNT: usize = 64;
/// Most channels of a tenant.
const MAX_CHANNELS: i64 = 100;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewChannel)]
pub struct Request {
    #[serde(rename = "type")]
    #[schema(schema_with = schemas::channel_type)]
    kind: ChannelType,
    #[schema(example = "Customer care", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: String,
    /// The provider's id of the account: of the phone number (`whatsapp`) or of the page (`messenger`).
    #[schema(example = "106540352242922", min_length = 1, max_length = 64, pattern = "^[0-9]+$")]
    account_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Channel {
    #[schema(value_type = String, example = "chan_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ChannelId,
    #[serde(rename = "type")]
    #[schema(schema_with = schemas::channel_type)]
    kind: ChannelType,
    name: String,
    #[schema(example = "106540352242922")]
    account_id: String,
    /// Those that are set.
    secrets: Vec<secrets::Shown>,
    created_at: DateTime<Utc>,
}

impl From<channels::Channel> for Channel {
    fn from(stored: channels::Channel) -> Self {
        Self {
            id: stored.id,
            kind: stored.kind,
            name: stored.name,
            account_id: stored.config.account_id,
            secrets: stored.secrets.into_iter().map(secrets::Shown::from).collect(),
            created_at: stored.created_at,
        }
    }
}

/// Adds a channel. Its record and its secrets are kept; messages do not come in by it yet.
#[utoipa::path(
    post, path = "/v1/channels", tag = "channels", operation_id = "create_channel",
    security(("tenant_key" = ["admin"])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 201, description = "The channel, without secrets.", body = Channel),
        (status = 409, description = "There are 100 channels already, or one of this account.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn create(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    trace: Traceparent,
    request_id: RequestId,
    Keyed { once, body: Json(request) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    let Request { kind, name, account_id } = request;
    let mut fields = Fields::default();
    fields.not_blank("name", &name, MAX_NAME);
    fields.text("account_id", &account_id, 1..=MAX_ACCOUNT);
    if !account_id.bytes().all(|byte| byte.is_ascii_digit()) {
        fields.refuse("account_id", "has other than digits");
    }
    fields.finish()?;
    let config = ChannelConfig { account_id };
    let author = caller.author(request_id);
    let work = state.work(&caller, &trace).await?;
    once.run(&state.vault, work, async |work| {
        let id = ChannelId::generate();
        let new = NewChannel { id, kind, name: &name, config: &config };
        if !channels::insert(work.tx(), &new, MAX_CHANNELS).await? {
            return Err(Problem::new(Kind::LimitReached).with("limit", MAX_CHANNELS));
        }
        let stored = channels::find(work.tx(), id).await?.ok_or_else(unknown)?;
        let after = json!({ "type": kind, "name": name, "config": config });
        let entry = author.made(Some(caller.id), Action::ChannelCreated, id, after);
        audit::record(work.tx().connection(), &entry).await?;
        Answer::new(StatusCode::CREATED, &Channel::from(stored))
    })
    .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Lists channels, newest first.
#[utoipa::path(
    get, path = "/v1/channels", tag = "channels", operation_id = "list_channels",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Channel>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<Channel>>, Problem> {
    let page = Page::parse("channels", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = channels::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |channel| channel.id)))
}

/// Reads a channel, of its secrets no more than which are set.
#[utoipa::path(
    get, path = "/v1/channels/{id}", tag = "channels", operation_id = "read_channel",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "chan_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The channel.", body = Channel))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<ChannelId>,
) -> Result<Body<Channel>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let channel = channels::find(&mut tx, id).await?;
    tx.commit().await?;
    channel.map(|channel| Body(channel.into())).ok_or_else(unknown)
}

/// Removes a channel and its secrets.
#[utoipa::path(
    delete, path = "/v1/channels/{id}", tag = "channels", operation_id = "delete_channel",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "chan_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 204, description = "Removed."))
)]
pub async fn delete(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<ChannelId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.read(caller.id).await?;
    let stored = channels::find(&mut tx, id).await?.ok_or_else(unknown)?;
    // Two requests may have found it.
    if !channels::delete(&mut tx, id).await? {
        return Err(unknown());
    }
    let author = caller.author(request_id);
    let before = json!({ "type": stored.kind, "name": stored.name, "config": stored.config });
    audit::record(tx.connection(), &author.ended(Some(caller.id), Action::ChannelDeleted, id, before)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown() -> Problem {
    Problem::not_found("channel")
}
