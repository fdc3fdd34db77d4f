//! Cancelling a message.

use axum::{Json, extract::State};
use jobs::{domain::ids::MessageId, kinds::turn, store::answers};

use super::view::Message;
use crate::{
    extract::{Caller, PathId, Traceparent, scope::MessagesWrite},
    problem::{Document, Kind, Problem},
    state::AppState,
};

/// Ends a message in whatever state it is, without an answer. Work on it that is under way has no effect, and the
/// conversation goes on with its next message.
#[utoipa::path(
    post, path = "/v1/messages/{id}/cancel", tag = "messages", operation_id = "cancel_message",
    security(("tenant_key" = ["messages:write"])),
    params(("id" = String, Path, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses(
        (status = 200, description = "The message is cancelled.", body = Message),
        (status = 409, description = "The message had ended already.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn cancel(
    caller: Caller<MessagesWrite>,
    State(state): State<AppState>,
    trace: Traceparent,
    PathId(id): PathId<MessageId>,
) -> Result<Json<Message>, Problem> {
    let mut work = state.work(&caller, &trace).await?;
    let found = answers::find(work.tx(), id).await?.ok_or_else(|| Problem::not_found("message"))?;
    if !turn::cancel(&mut work, found.conversation, id).await? {
        return Err(Problem::new(Kind::AlreadyEnded).detail(format!("The message is {}.", found.status.as_str())));
    }
    let cancelled = answers::find(work.tx(), id).await?.ok_or_else(|| Problem::not_found("message"))?;
    work.commit().await?;
    Ok(Json(cancelled.into()))
}
