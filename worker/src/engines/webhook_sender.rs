//! Posts events to addresses that tenants chose.

mod resolver;

use std::{error::Error, sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use chrono::Utc;
use jobs::{
    domain::egress::EgressPolicy,
    ports::{SendError, SignedRequest, WebhookReply, WebhookSender},
};
use reqwest::{
    Client, Response,
    dns::Resolve,
    header::{CONTENT_TYPE, RETRY_AFTER},
    redirect::Policy,
};
use secrecy::ExposeSecret;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};

use self::resolver::{GuardedResolver, RefusedName, SystemNames};
use super::retry_after;

/// Bytes kept of a reply; the rest is not read.
const KEPT_REPLY: usize = 2048;
/// Connections to one receiver kept open between events, and for how long.
const IDLE_CONNECTIONS: usize = 4;
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, clap::Args)]
pub struct WebhookConfig {
    /// Milliseconds until a receiver must have replied, connecting included.
    #[arg(long, env = "WEBHOOK_TIMEOUT", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub webhook_timeout: u64,
    /// Networks that are not public and still may be sent to, such as 127.0.0.0/8,10.1.0.0/16.
    #[arg(long, env = "EGRESS_ALLOW", default_value = "")]
    pub egress_allow: EgressPolicy,
}

/// Standard Webhooks 1.0 over HTTP/1.1 and HTTP/2: no redirects, no proxy, public addresses only.
pub struct HttpWebhookSender {
    client: Client,
    policy: Arc<EgressPolicy>,
    patience: Duration,
}

impl HttpWebhookSender {
    pub fn connect(config: &WebhookConfig) -> anyhow::Result<Self> {
        Self::resolving(config, Arc::new(SystemNames))
    }

    /// With names resolved by another source than the machine's.
    pub fn resolving(config: &WebhookConfig, names: Arc<dyn Resolve>) -> anyhow::Result<Self> {
        let policy = Arc::new(config.egress_allow.clone());
        let patience = Duration::from_millis(config.webhook_timeout);
        let client = Client::builder()
            .user_agent(concat!("metachat/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver::new(Arc::clone(&policy), names)))
            .timeout(patience)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE)
            .build()
            .context("the webhook client")?;
        Ok(Self { client, policy, patience })
    }

    /// A failed request as the attempt log shows it; without the URL, which may hold a secret.
    fn explain(&self, error: reqwest::Error) -> SendError {
        let error = error.without_url();
        let causes = || causes(&error);
        if let Some(refused) = causes().find_map(|cause| cause.downcast_ref::<RefusedName>()) {
            return SendError::Refused(refused.to_string());
        }
        if error.is_timeout() {
            return SendError::Unreachable(format!("no reply within {} ms", self.patience.as_millis()));
        }
        let cause = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
        SendError::Unreachable(match error.is_connect() {
            true => format!("could not connect: {cause}"),
            false => format!("the request failed: {cause}"),
        })
    }
}

#[async_trait]
impl WebhookSender for HttpWebhookSender {
    async fn send(&self, request: SignedRequest) -> Result<WebhookReply, SendError> {
        let url = self.policy.check_url(&request.url).map_err(|refusal| SendError::Refused(refusal.to_string()))?;
        let timestamp = Utc::now().timestamp();
        let signature = Webhook::new(request.secret.expose_secret())
            .and_then(|webhook| webhook.sign(&request.id, timestamp, request.body.as_bytes()))
            .map_err(|error| SendError::Refused(format!("the request cannot be signed: {error}")))?;
        let mut post = self.client.post(url);
        if let Some(traceparent) = request.traceparent {
            post = post.header("traceparent", traceparent);
        }
        let sent = post
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, &request.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, timestamp)
            .header(HEADER_WEBHOOK_SIGNATURE, signature)
            .body(request.body)
            .send()
            .await;
        let response = sent.map_err(|error| self.explain(error))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Ok(WebhookReply {
            status: response.status().as_u16(),
            retry_after: retry_after::parse(retry_after, Utc::now()),
            body: beginning(response).await,
        })
    }
}

/// What lies under an error, outermost first.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

/// The first [`KEPT_REPLY`] bytes as text. The status is what counts: a body that breaks off is kept as far as it came.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < KEPT_REPLY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk[..chunk.len().min(KEPT_REPLY - bytes.len())]);
    }
    let text = String::from_utf8_lossy(&bytes);
    let whole = if bytes.len() == KEPT_REPLY { text.trim_end_matches('\u{fffd}') } else { &text };
    whole.replace('\0', "")
}
