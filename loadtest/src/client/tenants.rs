//! Tenants: made with the admin key, used with the key they come with.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Client, ClientError};

/// The body of `POST /v1/tenants`; what is absent is the product's default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewTenant {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Tenant {
    pub id: String,
    pub name: String,
    pub api_key: ApiKey,
    /// Signs deliveries to a message's `callback_url`.
    pub callback_secret: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ApiKey {
    pub id: String,
    pub key: String,
}

impl Client {
    /// Needs the admin key.
    pub async fn create_tenant(&self, tenant: &NewTenant) -> Result<Tenant, ClientError> {
        let request = self.request(Method::POST, "/v1/tenants").json(tenant);
        self.send(request).await?.parse()
    }
}
