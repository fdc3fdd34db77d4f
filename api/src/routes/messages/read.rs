//! Reading a message, at once or when it is final.

use axum::{Json, extract::State};
use jobs::domain::ids::MessageId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::Message;
use crate::{
    extract::{Caller, PathId, Query, scope::Read},
    problem::Problem,
    state::AppState,
    waiting,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// Seconds, 0 to 60, to wait for the message's end.
    #[param(maximum = 60, example = 20)]
    wait: Option<u64>,
}

/// Reads a message; with `wait`, as soon as it is final or the wait is over.
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "messages", operation_id = "read_message",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6"), Parameters),
    responses((status = 200, description = "The message as it stands.", body = Message))
)]
pub async fn read(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<MessageId>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Message>, Problem> {
    let wait = waiting::asked(parameters.wait)?;
    let message = waiting::for_message(&state, caller.id, id, wait).await?;
    message.map(|message| Json(message.into())).ok_or_else(|| Problem::not_found("message"))
}
