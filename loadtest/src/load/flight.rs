//! One arrival from the moment it was due to its end.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, pin_mut};
use tokio::time::{Instant, sleep};

use super::fleet::Sender;
use super::scenario::{Kind, Load};
use crate::client::{Client, ClientError, DocumentStatus, MessageStatus, SseEvent, Submission, TextUpload};
use crate::samples;

/// Between two tries to read after a failed one.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// The longest wait that `Prefer: wait` asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// Latencies count from the due time, including any delay in sending.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) due: Instant,
    /// When the submission was accepted.
    pub(super) submitted: Option<Duration>,
    /// When its end was seen.
    pub(super) finished: Option<Duration>,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The message came to its end.
    Finished(MessageStatus),
    /// The document is searchable.
    Searchable,
    /// The document could not be read.
    Unreadable,
    /// The submission was refused with this status.
    Refused(u16),
    /// The submission got no answer, or one outside the contract.
    Broken,
    /// The resumed stream lost or repeated an event.
    Torn,
    /// Accepted, and not at its end when its time was up.
    TimedOut,
}

pub(super) async fn fly(load: &Load, sender: Sender, due: Instant, limit: Duration) -> Flight {
    let mut flight = Flight { due, submitted: None, finished: None, outcome: Outcome::Broken };
    let deadline = due + limit;
    let seen = match load.kind {
        Kind::Document => upload(&sender, &mut flight, deadline).await,
        Kind::Poll | Kind::Wait | Kind::Stream => ask(load, &sender, &mut flight, deadline).await,
    };
    flight.outcome = match seen {
        Ok(outcome) => outcome,
        Err(error) => error.status().map_or(Outcome::Broken, Outcome::Refused),
    };
    if !matches!(flight.outcome, Outcome::TimedOut | Outcome::Refused(_) | Outcome::Broken) {
        flight.finished = Some(due.elapsed());
    }
    flight
}

async fn ask(load: &Load, sender: &Sender, flight: &mut Flight, deadline: Instant) -> Result<Outcome, ClientError> {
    let submission = Submission {
        conversation_id: sender.conversation.clone(),
        wait: (load.kind == Kind::Wait).then_some(LONGEST_WAIT),
        ..Submission::new(&sender.question)
    };
    let message = sender.client.submit(&submission).await?.message;
    flight.submitted = Some(flight.due.elapsed());
    if message.status.is_final() {
        return Ok(Outcome::Finished(message.status));
    }
    Ok(match load.kind {
        Kind::Stream => follow_stream(&sender.client, &message.id, load.disconnect_after, deadline).await,
        _ => follow(&sender.client, &message.id, deadline).await,
    })
}

/// Polls to the end; a failed poll is tried again, because it says nothing about the message.
async fn follow(client: &Client, id: &str, deadline: Instant) -> Outcome {
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Outcome::TimedOut };
        match client.final_message(id, left).await {
            Ok(message) => return Outcome::Finished(message.status),
            Err(ClientError::TooLate { .. }) => return Outcome::TimedOut,
            Err(error) => sleep(error.retry_after().unwrap_or(TRY_AGAIN).min(left)).await,
        }
    }
}

/// Reads the stream to its `done`, breaking it off once after so many events and whenever it breaks by itself.
async fn follow_stream(client: &Client, id: &str, disconnect_after: usize, deadline: Instant) -> Outcome {
    let mut seen: Vec<SseEvent> = Vec::new();
    let mut disconnect_at = if disconnect_after == 0 { usize::MAX } else { disconnect_after };
    loop {
        let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Outcome::TimedOut };
        let last = seen.last().and_then(|event| event.id.clone());
        let Ok(stream) = client.stream(id, last.as_deref(), left).await else {
            sleep(TRY_AGAIN.min(left)).await;
            continue;
        };
        pin_mut!(stream);
        while let Some(Ok(event)) = stream.next().await {
            let done = event.event == "done";
            seen.push(event);
            if done {
                return verdict(&seen);
            }
            if seen.len() == disconnect_at {
                disconnect_at = usize::MAX;
                break;
            }
        }
    }
}

/// Positions count up by one from the first: whole numbers without a gap and without a repetition.
fn verdict(seen: &[SseEvent]) -> Outcome {
    let positions: Vec<u64> = seen.iter().filter_map(|event| event.id.as_deref()?.parse().ok()).collect();
    let distinct: BTreeSet<u64> = positions.iter().copied().collect();
    let first = distinct.first().copied().unwrap_or_default();
    let whole = positions.len() == seen.len() && distinct.into_iter().eq(first..first + positions.len() as u64);
    let status = seen.last().and_then(|event| event.json::<serde_json::Value>().ok());
    match status.and_then(|data| serde_json::from_value(data["status"].clone()).ok()) {
        Some(status) if whole => Outcome::Finished(status),
        _ => Outcome::Torn,
    }
}

/// Uploads a sample that no earlier arrival uploaded: its first line makes it another document.
async fn upload(sender: &Sender, flight: &mut Flight, deadline: Instant) -> Result<Outcome, ClientError> {
    let texts: Vec<_> = samples::documents().iter().filter(|sample| sample.content_type() == "text/markdown").collect();
    let sample = texts[sender.number % texts.len()];
    let text = format!("Edition {}.\n\n{}", sender.number, String::from_utf8_lossy(sample.bytes));
    let name = format!("{}-{}", sender.number, sample.file_name);
    let upload = TextUpload { name, content_type: sample.content_type().to_owned(), text, ..TextUpload::default() };
    let document = sender.client.upload_text(&upload).await?;
    flight.submitted = Some(flight.due.elapsed());
    let left = deadline.saturating_duration_since(Instant::now());
    Ok(match sender.client.settled_document(&document.id, left).await {
        Ok(document) if document.status == DocumentStatus::Failed => Outcome::Unreadable,
        Ok(_) => Outcome::Searchable,
        Err(_) => Outcome::TimedOut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(positions: &[&str]) -> Vec<SseEvent> {
        let event = |id: &&str| SseEvent {
            id: Some((*id).to_owned()),
            event: "delta".into(),
            data: r#"{"status":"answered"}"#.into(),
        };
        positions.iter().map(event).collect()
    }

    #[test]
    fn a_stream_with_a_gap_or_a_repetition_is_torn() {
        assert_eq!(verdict(&events(&["1", "2", "3"])), Outcome::Finished(MessageStatus::Answered));
        assert_eq!(verdict(&events(&["1", "3"])), Outcome::Torn);
        assert_eq!(verdict(&events(&["1", "2", "2", "3"])), Outcome::Torn);
        assert_eq!(verdict(&events(&["1", "x"])), Outcome::Torn);
    }
}
