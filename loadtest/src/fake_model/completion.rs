//! OpenAI's chat completion bodies.

use serde_json::{Value, json};

use super::quote;

/// One answer, cut into tokens.
pub(super) struct Completion {
    id: String,
    model: Value,
    created: i64,
    tokens: Vec<String>,
    prompt_tokens: usize,
}

impl Completion {
    /// `number` makes the id; `set_answer` stands in for the answer that follows from the prompt.
    pub(super) fn new(number: u64, created: i64, request: &Value, set_answer: Option<String>) -> Self {
        let no_messages = Vec::new();
        let messages = request["messages"].as_array().unwrap_or(&no_messages);
        let answer = set_answer.unwrap_or_else(|| quote::answer(messages));
        Self {
            id: format!("chatcmpl-fake-{number}"),
            model: request["model"].clone(),
            created,
            tokens: answer.split_inclusive(' ').map(str::to_owned).collect(),
            prompt_tokens: messages.iter().map(|message| count(&quote::text(&message["content"]))).sum(),
        }
    }

    pub(super) fn tokens(&self) -> &[String] {
        &self.tokens
    }

    pub(super) fn whole(&self) -> Value {
        json!({
            "id": self.id, "object": "chat.completion", "created": self.created, "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": self.tokens.concat(), "refusal": null},
                "logprobs": null,
                "finish_reason": "stop",
            }],
            "usage": self.usage(),
        })
    }

    /// The chunk that opens a stream.
    pub(super) fn opening(&self) -> Value {
        self.chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]))
    }

    pub(super) fn piece(&self, token: &str) -> Value {
        self.chunk(json!([{"index": 0, "delta": {"content": token}, "finish_reason": null}]))
    }

    pub(super) fn closing(&self) -> Value {
        self.chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]))
    }

    /// The chunk without choices that follows when usage was asked for.
    pub(super) fn usage_chunk(&self) -> Value {
        let mut chunk = self.chunk(json!([]));
        chunk["usage"] = self.usage();
        chunk
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model,
            "choices": choices,
        })
    }

    fn usage(&self) -> Value {
        let completion_tokens = self.tokens.len();
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        })
    }
}

/// A word is a token here.
fn count(text: &str) -> usize {
    text.split_whitespace().count()
}
