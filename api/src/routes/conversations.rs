//! Conversations and their transcripts.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        ids::{ConversationId, MessageId},
        message::{Role, Status},
    },
    store::{Scope, conversations, transcript},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Caller, PathId, Query, scope::Read},
    openapi::schemas,
    page::{List, Page},
    problem::Problem,
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
pub struct Conversation {
    #[schema(value_type = String, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: ConversationId,
    /// `open`, `escalated` or `resolved`.
    #[schema(example = "open")]
    status: String,
    /// Who answers: `bot` or `human`.
    #[schema(example = "bot")]
    handler: String,
    contact: Option<Contact>,
    /// Lines of the transcript.
    message_count: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConversationContact)]
pub struct Contact {
    #[schema(example = "customer-4711")]
    id: String,
    name: Option<String>,
}

impl From<conversations::Conversation> for Conversation {
    fn from(stored: conversations::Conversation) -> Self {
        let name = stored.contact_name;
        Self {
            id: stored.id,
            status: stored.status,
            handler: stored.handler,
            contact: stored.contact_id.map(|id| Contact { id, name }),
            message_count: stored.lines,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
    /// `open`, `escalated` or `resolved`.
    #[param(value_type = Option<String>)]
    status: Option<ConversationStatus>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ConversationStatus {
    Open,
    Escalated,
    Resolved,
}

impl ConversationStatus {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// Lists conversations by their last change, newest first.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations", operation_id = "list_conversations",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Conversation>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor, status }): Query<Parameters>,
) -> Result<Json<List<Conversation>>, Problem> {
    let page = Page::parse("conversations", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let status = status.map(ConversationStatus::as_str);
    let rows = conversations::list(&mut tx, status, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |conversation| (conversation.updated_at, conversation.id))))
}

/// Reads a conversation.
#[utoipa::path(
    get, path = "/v1/conversations/{id}", tag = "conversations", operation_id = "read_conversation",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The conversation.", body = Conversation))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<ConversationId>,
) -> Result<Json<Conversation>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let conversation = conversations::find(&mut tx, id).await?;
    tx.commit().await?;
    conversation.map(|conversation| Json(conversation.into())).ok_or_else(|| Problem::not_found("conversation"))
}

/// A line of a transcript.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TranscriptLine)]
pub struct Line {
    #[schema(value_type = String, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: MessageId,
    /// Its place, from 1.
    seq: i32,
    /// `customer`, `assistant` or `agent`.
    #[schema(value_type = String, example = "customer")]
    role: Role,
    text: String,
    /// The customer's message that this line answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reply_to: Option<MessageId>,
    /// A customer's line only: where its answer stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::message_status)]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    created_at: DateTime<Utc>,
}

impl From<transcript::Line> for Line {
    fn from(stored: transcript::Line) -> Self {
        Self {
            id: stored.id,
            seq: stored.seq,
            role: stored.role,
            text: stored.text,
            reply_to: stored.reply_to,
            status: stored.status,
            metadata: stored.metadata,
            created_at: stored.created_at,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TranscriptParameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Reads a conversation's transcript, oldest line first.
#[utoipa::path(
    get, path = "/v1/conversations/{id}/messages", tag = "conversations", operation_id = "read_transcript",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "conv_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), TranscriptParameters),
    responses((status = 200, description = "A page.", body = List<Line>))
)]
pub async fn messages(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<ConversationId>,
    Query(TranscriptParameters { limit, cursor }): Query<TranscriptParameters>,
) -> Result<Json<List<Line>>, Problem> {
    let page = Page::parse("transcript", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    conversations::find(&mut tx, id).await?.ok_or_else(|| Problem::not_found("conversation"))?;
    let rows = transcript::after(&mut tx, id, page.after.unwrap_or(0), page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |line| line.seq)))
}
