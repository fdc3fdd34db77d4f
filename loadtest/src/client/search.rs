//! Retrieval alone, without an answer.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::{Client, ClientError};

/// The body of `POST /v1/search`; filters apply before the limit.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Search {
    pub query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub document_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_similarity: Option<f32>,
}

/// A source as an answer would cite it.
pub type Hit = super::Source;

#[derive(Deserialize)]
struct Found {
    results: Vec<Hit>,
}

impl Client {
    pub async fn search(&self, search: &Search) -> Result<Vec<Hit>, ClientError> {
        let request = self.request(Method::POST, "/v1/search").json(search);
        Ok(self.send(request).await?.parse::<Found>()?.results)
    }
}
