//! The three questions: one the documents answer, a follow-up, and one they do not answer.

use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use tokio::time::Instant;

use super::arrival;
use super::ink::Ink;
use super::show;
use crate::client::{Client, Contact, Message, MessageStatus, Submission};
use crate::receiver::Receiver;

const ANSWERABLE: &str = "How many days do I have to return a jacket that I have not worn?";
const FOLLOW_UP: &str = "And how long is the return period for Trail Club members?";
const UNANSWERABLE: &str = "Can you recommend a good dentist in Lisbon?";

/// False when something did not work that should have; an error when there is no point in going on.
pub(super) async fn hold(client: &Client, callback_secret: &str, limit: Duration, ink: Ink) -> anyhow::Result<bool> {
    let first = ask_three_ways(client, callback_secret, limit, ink).await?;
    let second = Submission { conversation_id: Some(first.conversation_id), ..question(FOLLOW_UP) };
    let second = ask(client, "Follow-up in the same conversation", &second, limit, ink).await?;
    let third = ask(client, "Not in the documents", &question(UNANSWERABLE), limit, ink).await?;
    Ok(first.flawless && second && third)
}

fn question(text: &str) -> Submission {
    Submission {
        contact: Some(Contact { id: "demo-visitor".into(), name: Some("Mira".into()) }),
        ..Submission::new(text)
    }
}

struct First {
    conversation_id: String,
    flawless: bool,
}

/// Follows one message by poll, stream and callback at once.
async fn ask_three_ways(client: &Client, callback_secret: &str, limit: Duration, ink: Ink) -> anyhow::Result<First> {
    let receiver = Receiver::start().await.context("cannot listen for the callback")?;
    receiver.set_secret(callback_secret);
    let submission = Submission { callback_url: Some(receiver.url()), ..question(ANSWERABLE) };

    show::question(ink, "By poll, stream and callback", ANSWERABLE);
    let (asked, asked_at) = (Instant::now(), Utc::now());
    let id = submit(client, &submission).await?;
    let (polled, streamed, called_back) = tokio::join!(
        by_poll(client, &id, asked, limit),
        arrival::by_stream(client, &id, asked, limit),
        arrival::by_callback(&receiver, &id, asked_at, limit),
    );
    let (message, took) = polled?;
    report(client, &message, took, ink).await?;
    let flawless = [
        arrival::report_stream(streamed, &message, ink),
        arrival::report_callback(called_back, &message, ink),
        message.status == MessageStatus::Answered,
    ];
    Ok(First { conversation_id: message.conversation_id, flawless: flawless.into_iter().all(|worked| worked) })
}

async fn ask(client: &Client, title: &str, submission: &Submission, limit: Duration, ink: Ink) -> anyhow::Result<bool> {
    show::question(ink, title, &submission.text);
    let asked = Instant::now();
    let id = submit(client, submission).await?;
    let (message, took) = by_poll(client, &id, asked, limit).await?;
    report(client, &message, took, ink).await?;
    Ok(worked(&message))
}

/// Returns the message's id.
async fn submit(client: &Client, submission: &Submission) -> anyhow::Result<String> {
    let submitted = client.submit(submission).await.context("the question was not accepted")?;
    Ok(submitted.message.id)
}

/// The final message and how long it took, counted from the question.
async fn by_poll(client: &Client, id: &str, asked: Instant, limit: Duration) -> anyhow::Result<(Message, Duration)> {
    let message = client.final_message(id, limit).await.context("the answer did not come")?;
    Ok((message, asked.elapsed()))
}

async fn report(client: &Client, message: &Message, took: Duration, ink: Ink) -> anyhow::Result<()> {
    let timeline = client.timeline(&message.id).await.context("cannot read the timeline")?;
    show::answer(ink, message, took);
    show::timeline(ink, &timeline);
    Ok(())
}

/// Withholding and escalating are answers too: the product declines to guess.
fn worked(message: &Message) -> bool {
    matches!(message.status, MessageStatus::Answered | MessageStatus::Withheld | MessageStatus::Escalated)
}
