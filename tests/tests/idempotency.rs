//! Requests sent again with an `Idempotency-Key`: one effect, the first response again, and a clear refusal of anything else.

mod crash;
mod one_effect;
mod refusal;
mod routes;

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tests::Stack;

/// Sends requests with one credential to one api.
#[derive(Clone)]
struct Sender {
    client: Client,
    api: String,
    key: String,
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reply {
    status: u16,
    replayed: bool,
    location: String,
    body: String,
}

impl Reply {
    async fn of(response: Response) -> Self {
        let header =
            |name| response.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned());
        let (status, replayed, location) =
            (response.status().as_u16(), header("idempotency-replayed") == "true", header("location"));
        Self { status, replayed, location, body: response.text().await.unwrap() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The last part of a problem's type.
    fn problem(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// As the first one was, but for saying that it is a replay.
    fn is_replay_of(&self, first: &Self) -> bool {
        *self == Self { replayed: true, ..first.clone() }
    }
}

impl Sender {
    fn new(api: &str, key: &str) -> Self {
        Self {
            client: Client::builder().no_proxy().timeout(Duration::from_secs(90)).build().unwrap(),
            api: api.to_owned(),
            key: key.to_owned(),
        }
    }

    fn at(&self, api: &str) -> Self {
        Self { api: api.to_owned(), ..self.clone() }
    }

    fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Reply {
        let request = self.client.post(format!("{}{path}", self.api)).bearer_auth(&self.key);
        Reply::of(request.header("idempotency-key", key).json(body).send().await.unwrap()).await
    }
}

/// A new tenant's sender.
async fn tenant(stack: &Stack) -> Sender {
    let (tenant, _) = stack.tenant("Careful").await;
    Sender::new(&stack.api_url, &tenant.api_key.key)
}

fn operator(stack: &Stack) -> Sender {
    Sender::new(&stack.api_url, stack.admin().key())
}

fn message(text: &str) -> Value {
    json!({ "text": text })
}
