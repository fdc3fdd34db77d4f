//! Webhook endpoints: where a tenant's events go.

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Client, ClientError};

#[derive(Clone, Debug, Deserialize)]
pub struct WebhookEndpoint {
    pub id: String,
    pub url: String,
    pub event_types: Vec<String>,
    /// Shown once, at creation.
    pub secret: String,
}

impl Client {
    pub async fn create_endpoint(&self, url: &str, event_types: &[&str]) -> Result<WebhookEndpoint, ClientError> {
        let body = json!({ "url": url, "event_types": event_types });
        let request = self.request(Method::POST, "/v1/webhook-endpoints").json(&body);
        self.send(request).await?.parse()
    }
}
