//! The other two ways an answer arrives: by stream and by callback.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, pin_mut};
use serde_json::Value;
use tokio::time::Instant;

use super::ink::Ink;
use super::show;
use crate::client::{Client, ClientError, Message};
use crate::receiver::{Delivery, Receiver, Signature, TooFew};

/// The answer as the stream told it.
pub(super) struct Streamed {
    events: usize,
    first_words: Option<Duration>,
    done: Option<Duration>,
    text: String,
}

pub(super) struct CalledBack {
    after: TimeDelta,
    delivery: Delivery,
}

/// Puts the `delta` events together until `done`; a `reset` takes back what was said.
pub(super) async fn by_stream(
    client: &Client,
    message_id: &str,
    asked: Instant,
    limit: Duration,
) -> Result<Streamed, ClientError> {
    let stream = client.stream(message_id, None, limit).await?;
    pin_mut!(stream);
    let mut streamed = Streamed { events: 0, first_words: None, done: None, text: String::new() };
    while let Some(event) = stream.next().await {
        let event = event?;
        streamed.events += 1;
        match event.event.as_str() {
            "delta" => {
                streamed.first_words.get_or_insert(asked.elapsed());
                let delta: Value = event.json().unwrap_or_default();
                streamed.text.push_str(delta["text"].as_str().unwrap_or_default());
            }
            "reset" => streamed.text.clear(),
            "done" => {
                streamed.done = Some(asked.elapsed());
                break;
            }
            _ => {}
        }
    }
    Ok(streamed)
}

/// Waits for the delivery that tells how the message ended.
pub(super) async fn by_callback(
    receiver: &Receiver,
    message_id: &str,
    asked_at: DateTime<Utc>,
    limit: Duration,
) -> Result<CalledBack, TooFew> {
    let tells = |delivery: &Delivery| {
        delivery.event_type != "message.received" && delivery.body.to_string().contains(message_id)
    };
    let deliveries = receiver.wait_until(limit, |deliveries| deliveries.iter().any(tells)).await?;
    let delivery = deliveries.into_iter().find(tells).expect("it was waited for");
    Ok(CalledBack { after: delivery.at - asked_at, delivery })
}

/// True when the stream came to its end and said what the poll says.
pub(super) fn report_stream(streamed: Result<Streamed, ClientError>, message: &Message, ink: Ink) -> bool {
    let streamed = match streamed {
        Ok(streamed) => streamed,
        Err(error) => return complain(ink, "stream", &format!("{:#}", anyhow::Error::from(error))),
    };
    let Some(done) = streamed.done else {
        return complain(ink, "stream", &format!("ended after {} events without done", streamed.events));
    };
    let polled = answer_text(message);
    if let Some(polled) = polled
        && polled.trim() != streamed.text.trim()
    {
        return complain(ink, "stream", &format!("said something else: {:?}", streamed.text));
    }
    let first_words = match streamed.first_words {
        Some(after) => format!("first words after {:.2} s, ", after.as_secs_f64()),
        None => String::new(),
    };
    let verdict = if polled.is_some() { ", same text" } else { "" };
    let line = format!("{} events, {first_words}done after {:.2} s{verdict}", streamed.events, done.as_secs_f64());
    show::fact(ink, "by stream", &ink.green(&line));
    true
}

/// True when the callback came with a valid signature and the text that the poll says, a disclaimer aside.
pub(super) fn report_callback(called_back: Result<CalledBack, TooFew>, message: &Message, ink: Ink) -> bool {
    let CalledBack { after, delivery } = match called_back {
        Ok(called_back) => called_back,
        Err(too_few) => {
            let came: Vec<&str> = too_few.deliveries.iter().map(|delivery| delivery.event_type.as_str()).collect();
            return complain(ink, "callback", &format!("did not come within {:?} (came: {came:?})", too_few.limit));
        }
    };
    let Delivery { event_type, id, signature, body, .. } = &delivery;
    let line = format!("{event_type} {id} after {:.2} s, {signature}", after.as_seconds_f64());
    if *signature != Signature::Valid {
        return complain(ink, "callback", &line);
    }
    let polled = answer_text(message);
    let told = body["data"]["text"].as_str().unwrap_or_default();
    if !told.contains(polled.unwrap_or_default().trim()) {
        return complain(ink, "callback", &format!("{line}, but said something else: {told:?}"));
    }
    let verdict = if polled.is_some() { ", same text" } else { "" };
    show::fact(ink, "by callback", &ink.green(&format!("{line}{verdict}")));
    true
}

fn answer_text(message: &Message) -> Option<&str> {
    message.answer.as_ref().and_then(|answer| answer.text.as_deref())
}

fn complain(ink: Ink, way: &str, what: &str) -> bool {
    show::fact(ink, &format!("by {way}"), &ink.red(what));
    false
}
