//! A message followed by server-sent events.

use std::time::Duration;

use async_stream::try_stream;
use futures::{Stream, StreamExt, pin_mut};
use reqwest::Method;
use reqwest::header::ACCEPT;

use super::{Client, ClientError, SseEvent, SseParser};

impl Client {
    /// Opens the message's stream; it ends in an error once `limit` is over.
    pub async fn stream(
        &self,
        id: &str,
        last_event_id: Option<&str>,
        limit: Duration,
    ) -> Result<impl Stream<Item = Result<SseEvent, ClientError>> + use<>, ClientError> {
        let mut request = self
            .request(Method::GET, &format!("/v1/messages/{id}/stream"))
            .header(ACCEPT, "text/event-stream")
            .timeout(limit);
        if let Some(last) = last_event_id {
            request = request.header("last-event-id", last);
        }
        let (response, call) = self.open(request).await?;
        if !response.status().is_success() {
            let (status, headers) = (response.status().as_u16(), response.headers().clone());
            let body = response.bytes().await.unwrap_or_default();
            return Err(ClientError::refused(call, status, &headers, &body));
        }
        Ok(try_stream! {
            let mut parser = SseParser::default();
            let mut body = response.bytes_stream();
            while let Some(bytes) = body.next().await {
                let bytes = bytes.map_err(|source| ClientError::Transport { call: call.clone(), source })?;
                for event in parser.push(&bytes) {
                    yield event;
                }
            }
        })
    }

    /// Collects the stream up to and including `done`, or to its end.
    pub async fn stream_to_end(
        &self,
        id: &str,
        last_event_id: Option<&str>,
        limit: Duration,
    ) -> Result<Vec<SseEvent>, ClientError> {
        let stream = self.stream(id, last_event_id, limit).await?;
        pin_mut!(stream);
        let mut events = Vec::new();
        while let Some(event) = stream.next().await {
            let event = event?;
            let done = event.event == "done";
            events.push(event);
            if done {
                break;
            }
        }
        Ok(events)
    }
}
