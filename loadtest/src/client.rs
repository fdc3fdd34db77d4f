//! A typed client of the public HTTP contract.
//!
//! Every call is bounded in time. A refusal carries its status and its problem document, so that callers can tell a plan
//! limit from a bad key. Answers are read leniently: a field the product adds later changes nothing here.

mod documents;
mod error;
mod messages;
mod search;
mod sse;
mod stream;
mod tenants;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use documents::{Document, DocumentStatus, FileUpload, TextUpload};
pub use error::{ClientError, Problem};
pub use messages::{
    Answer, Confidence, Contact, Message, MessageStatus, Source, Submission, Submitted, Timeline, TimelineEntry, Usage,
};
pub use search::{Hit, Search};
pub use sse::{SseEvent, SseParser};
pub use tenants::{ApiKey, NewTenant, Tenant};
pub use webhooks::WebhookEndpoint;

/// How long an ordinary call may take; a long-poll adds its own wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Speaks to one API with one key. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base_url: Arc<str>,
    key: Arc<str>,
}

/// A reply that was not a refusal: the status and headers matter to those who test the contract.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Client {
    /// Fails when TLS cannot be set up.
    pub fn new(base_url: &str, key: &str) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| ClientError::Transport { call: "setting up HTTP".into(), source })?;
        Ok(Self { http, base_url: base_url.trim_end_matches('/').into(), key: key.into() })
    }

    /// Speaks to the same API with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Calls any route with an optional JSON body: the way to routes that have no method of their own.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.key).timeout(CALL_TIMEOUT)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, ClientError> {
        let (response, call) = self.open(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|source| ClientError::Transport { call: call.clone(), source })?;
        if !status.is_success() {
            return Err(ClientError::refused(call, status.as_u16(), &headers, &bytes));
        }
        let body = match bytes.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&bytes).map_err(|source| ClientError::Malformed { call, source })?,
        };
        Ok(Reply { status: status.as_u16(), headers, body })
    }

    /// Sends and returns the response with its body unread, beside the call's name for error messages.
    async fn open(&self, request: RequestBuilder) -> Result<(reqwest::Response, String), ClientError> {
        let request = request
            .build()
            .map_err(|source| ClientError::Transport { call: format!("a call to {}", self.base_url), source })?;
        let call = format!("{} {}", request.method(), request.url());
        match self.http.execute(request).await {
            Ok(response) => Ok((response, call)),
            Err(source) => Err(ClientError::Transport { call, source: source.without_url() }),
        }
    }
}

impl Reply {
    /// Reads the body as `T`.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        serde_json::from_value(self.body)
            .map_err(|source| ClientError::Malformed { call: std::any::type_name::<T>().into(), source })
    }
}
