//! Any OpenAI-compatible chat completions endpoint, streamed.

use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use genai::{
    Client, ModelIden, ServiceTarget,
    adapter::AdapterKind,
    chat::{ChatOptions, ChatStream, ChatStreamEvent, StopReason},
    resolver::{AuthData, Endpoint},
};
use jobs::ports::{Completion, ModelError, Prompt, Usage};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use url::Url;

use super::{
    failures::{classify, unavailable},
    prompt,
};

/// Longest time to a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest completion.
const WHOLE: Duration = Duration::from_secs(120);
/// Longest answer kept, in bytes; a model that does not stop is cut off as a failure.
const MAX_BYTES: usize = 64 * 1024;

pub struct OpenAi {
    client: Client,
    endpoint: Endpoint,
    key: AuthData,
    default_model: String,
    /// Longest time from the request to the first piece of text.
    first_token: Duration,
}

impl OpenAi {
    pub fn connect(
        base_url: &Url,
        key: Option<&SecretString>,
        default_model: &str,
        first_token: Duration,
    ) -> anyhow::Result<Self> {
        // The job is what runs again: a copy of every request would be kept for the client to send it itself.
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .retry(reqwest::retry::never())
            .user_agent(concat!("metachat/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("the model provider's client")?;
        // genai joins paths to the base, so a missing slash would swallow its last segment.
        let base = format!("{}/", base_url.as_str().trim_end_matches('/'));
        // A local server without keys ignores the header that genai always sends.
        let key = key.map_or("none", ExposeSecret::expose_secret);
        let client = Client::builder().with_reqwest(http).build().context("the model provider's client")?;
        let (endpoint, key) = (Endpoint::from_owned(base), AuthData::from_single(key));
        Ok(Self { client, endpoint, key, default_model: default_model.to_owned(), first_token })
    }

    pub async fn complete(&self, prompt: Prompt, deltas: mpsc::Sender<String>) -> Result<Completion, ModelError> {
        let model = prompt.settings.model.clone().unwrap_or_else(|| self.default_model.clone());
        let options = options(&prompt);
        let begun = Instant::now();
        let first_token = begun + self.first_token;
        // Named explicitly: genai sends a model it does not know to Ollama.
        let target = ServiceTarget {
            endpoint: self.endpoint.clone(),
            auth: prompt.key.as_ref().map_or(self.key.clone(), |key| AuthData::from_single(key.expose_secret())),
            model: ModelIden::new(AdapterKind::OpenAI, model.as_str()),
        };
        let request = prompt::request(&prompt);
        // A model may take a minute, and thousands may wait for it: of the sources' texts the request's copy is enough.
        drop(prompt);
        let opening = self.client.exec_chat_stream(target, request, Some(&options));
        let opened = timeout_at(first_token, opening).await.map_err(|_| too_slow())?;
        let stream = opened.map_err(|error| classify(&error))?.stream;
        let (text, usage) = receive(stream, &deltas, first_token, begun + WHOLE).await?;
        Ok(Completion { text, usage, model: format!("openai/{model}") })
    }
}

fn options(prompt: &Prompt) -> ChatOptions {
    let id = ("Idempotency-Key".to_owned(), prompt.request_id.clone());
    let trace = prompt.traceparent.iter().map(|traceparent| ("traceparent".to_owned(), traceparent.clone()));
    let headers: Vec<_> = std::iter::once(id).chain(trace).collect();
    let mut options = ChatOptions::default().with_capture_usage(true).with_extra_headers(headers);
    options.temperature = prompt.settings.temperature;
    options.max_tokens = prompt.settings.max_tokens;
    options
}

/// The whole text and its usage; a stream that ends without its end mark was cut off.
async fn receive(
    mut stream: ChatStream,
    deltas: &mpsc::Sender<String>,
    first_token: Instant,
    whole: Instant,
) -> Result<(String, Usage), ModelError> {
    let mut text = String::new();
    let mut listening = true;
    loop {
        let deadline = if text.is_empty() { first_token } else { whole };
        let event = timeout_at(deadline, stream.next()).await.map_err(|_| too_slow())?;
        match event.ok_or_else(|| unavailable("the stream ended early"))?.map_err(|error| classify(&error))? {
            ChatStreamEvent::Chunk(chunk) if chunk.content.is_empty() => {}
            ChatStreamEvent::Chunk(chunk) => {
                text.push_str(&chunk.content);
                if text.len() > MAX_BYTES {
                    return Err(unavailable(format!("the answer is longer than {MAX_BYTES} bytes")));
                }
                if listening {
                    let sent = timeout_at(whole, deltas.send(chunk.content)).await;
                    listening = matches!(sent, Ok(Ok(())));
                }
            }
            ChatStreamEvent::End(end) => {
                let filtered = matches!(end.captured_stop_reason, Some(StopReason::ContentFilter(_)));
                return match text.trim().is_empty() {
                    true if filtered => Err(ModelError::Refused("the content policy withheld the answer".into())),
                    true => Err(ModelError::Empty),
                    false => Ok((text, end.captured_usage.map(usage).unwrap_or_default())),
                };
            }
            _ => {}
        }
    }
}

fn usage(usage: genai::chat::Usage) -> Usage {
    let count = |tokens: Option<i32>| tokens.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(0);
    Usage { prompt_tokens: count(usage.prompt_tokens), completion_tokens: count(usage.completion_tokens) }
}

fn too_slow() -> ModelError {
    unavailable("the model provider took too long")
}
