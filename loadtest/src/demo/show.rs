//! How a question, an answer and its timeline are printed.

use std::time::Duration;

use serde_json::Value;

use super::ink::{Ink, snippet, wrap};
use super::timeline;
use crate::client::{Answer, Confidence, Message, MessageStatus, Source, Timeline};

/// Facts start in this column.
const INDENT: usize = 13;

pub(super) fn question(ink: Ink, title: &str, text: &str) {
    println!("\n{}", ink.dim(&format!("── {title} ")));
    fact(ink, "question", &ink.bold(text));
}

/// One labelled line, or several when the value holds line breaks.
pub(super) fn fact(ink: Ink, label: &str, value: &str) {
    println!("{} {value}", ink.dim(&format!("{label:<12}")));
}

pub(super) fn answer(ink: Ink, message: &Message, took: Duration) {
    let none = Answer::default();
    let answer = message.answer.as_ref().unwrap_or(&none);
    fact(ink, "answer", &text(ink, message, answer));
    fact(ink, "status", &format!("{} after {:.2} s by poll", message.status, took.as_secs_f64()));
    for (number, source) in answer.sources.iter().enumerate() {
        fact(ink, if number == 0 { "sources" } else { "" }, &source_line(ink, number + 1, source));
    }
    if let Some(confidence) = &answer.confidence {
        fact(ink, "confidence", &confidence_line(ink, confidence));
    }
    if let Some(usage) = &answer.usage {
        let tokens = format!("{} + {} tokens", usage.prompt_tokens, usage.completion_tokens);
        fact(ink, "usage", &format!("{tokens}, ${:.6}", usage.cost_usd));
    }
}

pub(super) fn timeline(ink: Ink, timeline: &Timeline) {
    let table = timeline::table(timeline).to_string();
    for (number, line) in table.lines().enumerate() {
        fact(ink, if number == 0 { "timeline" } else { "" }, line.trim_end());
    }
}

fn text(ink: Ink, message: &Message, answer: &Answer) -> String {
    match (&answer.text, message.status) {
        (Some(text), _) => wrap(text, INDENT),
        (None, MessageStatus::Failed | MessageStatus::Cancelled) => {
            ink.red(&message.error.as_ref().unwrap_or(&Value::Null).to_string())
        }
        (None, MessageStatus::Escalated) => ink.dim("none: a human takes over, rather than the bot guessing"),
        (None, _) => ink.dim("none: withheld, rather than guessed"),
    }
}

fn source_line(ink: Ink, number: usize, source: &Source) -> String {
    let Source { document_name, similarity, content, .. } = source;
    format!("[{number}] {document_name} {similarity:.2} {}", ink.dim(&snippet(content, 70)))
}

fn confidence_line(ink: Ink, confidence: &Confidence) -> String {
    let Confidence { score, level, action, escalated, signals } = confidence;
    let escalated = if *escalated { ", escalated" } else { "" };
    let signals: Vec<String> = signals
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some(format!("{name} {:.2}", value.as_f64()?)))
        .collect();
    format!("{score:.2} {level}, action {action}{escalated}  {}", ink.dim(&wrap(&signals.join(" · "), INDENT + 40)))
}
