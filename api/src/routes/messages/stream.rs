//! A message as a stream of server-sent events.
//!
//! Every entry of the message's log is sent under its position; a client that lost its connection sends the last one
//! back and misses nothing.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use async_stream::stream;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode},
    response::{IntoResponse, Response, Sse, sse},
};
use futures::Stream;
use jobs::{
    domain::ids::MessageId,
    queue::signals::Topic,
    store::{
        Scope, StoreError, answers,
        stream::{self, Entry},
    },
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::view::Message;
use crate::{
    extract::{Caller, PathId, Query, scope::Read},
    problem::{Document, Problem},
    state::AppState,
    waiting::Waiter,
};

/// Comments that keep proxies from closing a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream ends after this long; the client reconnects and resumes.
const LIFE: Duration = Duration::from_secs(600);
/// How often an open stream asks whether its caller would still be let in.
const RECHECK: Duration = Duration::from_secs(5);
/// When a client should come back after a stream that ended early.
const RECONNECT: Duration = Duration::from_millis(500);

const LAST_EVENT_ID: &str = "last-event-id";
/// Asks nginx not to hold events back.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// As the header, which goes first, for clients that cannot send one.
    #[param(value_type = Option<i32>)]
    last_event_id: Option<String>,
}

/// One event of the stream, as its fields are read.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the stream, which is written event by event")]
struct StreamEvent {
    /// What `Last-Event-ID` resumes after.
    #[schema(nullable = false)]
    id: Option<String>,
    /// `status`, `delta`, `reset` or `done`.
    #[schema(nullable = false, example = "status")]
    event: Option<String>,
    /// JSON.
    #[schema(nullable = false, example = r#"{"status":"retrieving"}"#)]
    data: Option<String>,
    /// Milliseconds until a client should come back to a stream that ended early.
    #[schema(nullable = false)]
    retry: Option<i64>,
}

/// Streams a message's `status`, `delta`, `reset` (void the deltas so far) and `done` events; `done` carries the final
/// message and ends the stream. It ends without one within seconds when the credential it was opened with is revoked.
#[utoipa::path(
    get, path = "/v1/messages/{id}/stream", tag = "messages", operation_id = "stream_message",
    security(("tenant_key" = ["read"])),
    params(
        ("id" = String, Path, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6"),
        Parameters,
        ("Last-Event-ID" = Option<i32>, Header, description = "Resumes after this event."),
    ),
    responses(
        (status = 200, description = "The events, as they come.", content_type = "text/event-stream",
            body = StreamEvent),
        (status = 204, description = "The message is final and its last event was received: do not reconnect."),
        (status = 503, description = "Too many streams are open.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn stream(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<MessageId>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let header = headers.get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?").to_owned());
    let position = |field, id: Option<String>| {
        let parsed = id.map(|id| id.parse().map_err(|_| Problem::field(field, "is not the id of an event")));
        parsed.transpose()
    };
    let (by_header, by_query) =
        (position(LAST_EVENT_ID, header)?, position("last_event_id", parameters.last_event_id)?);
    let position = by_header.or(by_query).unwrap_or_default();
    let place = state.waiter().ok_or_else(|| Problem::unavailable("Too many streams are open."))?;

    // The status first: a message that is final has its whole log.
    let mut tx = state.read(caller.id).await?;
    let status = answers::status(&mut tx, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    let seen_all = status.is_final() && stream::after(&mut tx, id, position).await?.is_empty();
    tx.commit().await?;
    if seen_all && position > 0 {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let log = Log { state, caller, message: id, position };
    let events =
        Sse::new(log.events(seen_all, place)).keep_alive(sse::KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    Ok(([UNBUFFERED], events).into_response())
}

/// A message's log and how far it was sent.
struct Log {
    state: AppState,
    caller: Caller<Read>,
    message: MessageId,
    position: i32,
}

impl Log {
    /// `pruned` says that the message is final and its log is gone: it gets its last event all the same.
    fn events(
        mut self,
        pruned: bool,
        place: OwnedSemaphorePermit,
    ) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        stream! {
            let _place = place;
            let _open = Open::count();
            if pruned {
                let entry = Entry { position: 1, event: "done".to_owned(), data: Value::Null };
                yield Ok(self.event(entry).await);
                return;
            }
            let state = self.state.clone();
            let mut checked_at = Instant::now();
            let mut waiter = Waiter::new(&state, Topic::Progress, self.message.uuid(), LIFE);
            loop {
                if checked_at.elapsed() >= RECHECK {
                    // One that cannot be asked about now is asked about in a while.
                    if let Ok(false) = self.caller.is_still_let_in(&state).await {
                        return;
                    }
                    checked_at = Instant::now();
                }
                let entries = match self.next().await {
                    Ok(entries) => entries,
                    Err(error) => {
                        // The log is still there when the database is back.
                        tracing::warn!(%error, message = %self.message, "stream could not read its log");
                        Vec::new()
                    }
                };
                let full = entries.len() as i64 == stream::PAGE;
                for entry in entries {
                    self.position = entry.position;
                    let done = entry.event == "done";
                    yield Ok(self.event(entry).await);
                    if done {
                        return;
                    }
                }
                if !full && !waiter.moved_on().await {
                    yield Ok(sse::Event::default().retry(RECONNECT).comment("reconnect"));
                    return;
                }
            }
        }
    }

    async fn next(&self) -> Result<Vec<Entry>, StoreError> {
        let mut tx = self.state.read(self.caller.id).await?;
        let entries = stream::after(&mut tx, self.message, self.position).await?;
        tx.commit().await?;
        Ok(entries)
    }

    async fn event(&self, entry: Entry) -> sse::Event {
        let data = match entry.event.as_str() {
            "done" => self.message().await,
            _ => None,
        };
        let data = data.unwrap_or_else(|| entry.data.to_string());
        sse::Event::default().id(entry.position.to_string()).event(entry.event).data(data)
    }

    /// The final message as JSON; `None` when it cannot be read now, and the client has to ask for it.
    async fn message(&self) -> Option<String> {
        let mut tx = self.state.read(self.caller.id).await.ok()?;
        let message = answers::find(&mut tx, self.message).await.ok()??;
        serde_json::to_string(&Message::from(message)).ok()
    }
}

/// Counts a stream while it is open.
struct Open;

impl Open {
    fn count() -> Self {
        metrics::gauge!("metachat_http_streams_open").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("metachat_http_streams_open").decrement(1.0);
    }
}
