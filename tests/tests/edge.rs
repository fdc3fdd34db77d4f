//! The edge: who may ask how often, what is refused before it is accepted, and what a connection may do.

mod admission;
mod api_calls;
mod api_log;
mod browsers;
mod connections;
mod limits;
mod limits_without_redis;

use loadtest::client::NewTenant;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tests::Stack;

/// Asks as anybody; every call is one request.
#[derive(Clone)]
struct Asker {
    client: Client,
    api: String,
    key: Option<String>,
}

impl Asker {
    fn anonymous(api: &str) -> Self {
        let redirect = reqwest::redirect::Policy::none();
        let client = Client::builder().no_proxy().redirect(redirect).build().expect("a client");
        Self { client, api: api.to_owned(), key: None }
    }

    /// With the key of a new tenant that has these limits.
    async fn tenant(stack: &Stack, limits: Value) -> Self {
        let tenant = NewTenant { name: "Edge".into(), limits: Some(limits), ..NewTenant::default() };
        let (tenant, _) = stack.tenant_with(tenant).await;
        Self::anonymous(&stack.api_url).with_key(&tenant.api_key.key)
    }

    fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    fn at(&self, api: &str) -> Self {
        Self { api: api.to_owned(), ..self.clone() }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.api));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], None).await
    }

    async fn submit(&self) -> Response {
        self.send(Method::POST, "/v1/messages", &[], Some(json!({ "text": "Hello" }))).await
    }

    /// The statuses of requests sent one after another.
    async fn statuses(&self, path: &str, count: usize) -> Vec<u16> {
        let mut statuses = Vec::with_capacity(count);
        for _ in 0..count {
            statuses.push(self.get(path).await.status().as_u16());
        }
        statuses
    }

    /// A sample of the process' metrics; 0 for a series that does not exist yet.
    async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text().await.expect("metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The last part of a problem's type; panics for what is no problem.
async fn problem(response: Response) -> (String, Value) {
    assert_eq!(header(&response, "content-type"), "application/problem+json", "{response:?}");
    let id = header(&response, "x-request-id").to_owned();
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["request_id"], json!(id), "{problem}");
    let kind = problem["type"].as_str().and_then(|uri| uri.rsplit('/').next()).expect("a type").to_owned();
    (kind, problem)
}
