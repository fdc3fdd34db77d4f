//! The embedded default: quotes the sources, needs no key and no network.

use jobs::{
    domain::extractive,
    ports::{Completion, Prompt, Usage},
};
use tokio::sync::mpsc;

/// Quotes the sources and streams the answer word by word. No tokens are used.
pub async fn complete(prompt: &Prompt, deltas: &mpsc::Sender<String>) -> Completion {
    let text = extractive::answer(&prompt.question, &prompt.sources).text;
    for word in text.split_inclusive(' ') {
        if deltas.send(word.to_owned()).await.is_err() {
            break;
        }
    }
    Completion { text, usage: Usage::default(), model: "metachat/extractive".into() }
}
