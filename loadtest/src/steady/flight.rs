//! One message from the moment it was due to its end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, ClientError, MessageStatus, Submission};

/// Between two tries to read a message after a failed one.
const POLL_AGAIN: Duration = Duration::from_millis(200);

/// Latencies count from the due time, including any delay in sending.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    /// When the submission was accepted.
    pub(super) submitted: Option<Duration>,
    /// When the message was seen to be final.
    pub(super) finished: Option<Duration>,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// The message came to its end.
    Finished(MessageStatus),
    /// The submission was refused with this status.
    Refused(u16),
    /// The submission got no answer, or one outside the contract.
    Broken,
    /// Accepted, and not final when its time was up.
    TimedOut,
}

pub(super) async fn fly(client: Client, question: String, due: Instant, limit: Duration) -> Flight {
    let accepted = match client.submit(&Submission::new(question)).await {
        Ok(accepted) => accepted.message,
        Err(error) => {
            let outcome = error.status().map_or(Outcome::Broken, Outcome::Refused);
            return Flight { submitted: None, finished: None, outcome };
        }
    };
    let submitted = Some(due.elapsed());
    match follow(&client, &accepted.id, due + limit).await {
        Some(status) => Flight { submitted, finished: Some(due.elapsed()), outcome: Outcome::Finished(status) },
        None => Flight { submitted, finished: None, outcome: Outcome::TimedOut },
    }
}

/// Polls to the end; a failed poll is tried again, because it says nothing about the message.
async fn follow(client: &Client, id: &str, deadline: Instant) -> Option<MessageStatus> {
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        match client.final_message(id, left).await {
            Ok(message) => return Some(message.status),
            Err(ClientError::TooLate { .. }) => return None,
            Err(error) => sleep(error.retry_after().unwrap_or(POLL_AGAIN).min(left)).await,
        }
    }
}
