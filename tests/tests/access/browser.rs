//! A browser: keeps cookies, and sends the session's CSRF token as the console's pages do.

use std::collections::BTreeMap;

use reqwest::{Method, Response, header};
use serde_json::{Value, json};
use tests::Stack;

#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
    api: String,
    pub cookies: BTreeMap<String, String>,
    pub csrf: Option<String>,
    pub origin: Option<String>,
}

impl Browser {
    pub fn new(stack: &Stack) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, api: stack.api_url.clone(), cookies: BTreeMap::new(), csrf: None, origin: None }
    }

    /// The same cookies and token at another address.
    pub fn moved_to(&self, api: &str) -> Self {
        Self { api: api.to_owned(), ..self.clone() }
    }

    pub async fn log_in(&mut self, tenant: &str, email: &str, password: &str) -> (u16, Value) {
        let body = json!({ "tenant_id": tenant, "email": email, "password": password });
        let (status, answer) = self.ask(Method::POST, "/v1/session", Some(body)).await;
        if status == 201 {
            self.csrf = answer["csrf_token"].as_str().map(str::to_owned);
        }
        (status, answer)
    }

    pub async fn ask(&mut self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let response = self.send(method, path, body).await;
        let (status, text) = (response.status().as_u16(), response.text().await.expect("a body"));
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") };
        (status, body)
    }

    pub async fn get(&mut self, path: &str) -> (u16, Value) {
        self.ask(Method::GET, path, None).await
    }

    pub async fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.http.request(method, format!("{}{path}", self.api));
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        if let Some(csrf) = &self.csrf {
            request = request.header("x-csrf-token", csrf);
        }
        if let Some(origin) = &self.origin {
            request = request.header(header::ORIGIN, origin);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("visible ASCII");
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        response
    }
}
