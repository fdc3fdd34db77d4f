//! Credentials: keys of tenants and of the operator, people and their sessions, and who changed what.

mod audit;
mod browser;
mod keys;
mod lock_out;
mod operator;
mod scopes;
mod sessions;
mod team;

use browser::Browser;
use loadtest::client::{Client, ClientError};
use reqwest::Method;
use serde_json::{Value, json};
use tests::Stack;

const PASSWORD: &str = "correct horse battery";

/// Status and body of any answer, a refusal's too.
async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    match client.call(method, path, body.as_ref()).await {
        Ok(reply) => (reply.status, reply.body),
        Err(ClientError::Refused { status, problem, .. }) => {
            let mut document = Value::Object(problem.more.clone());
            document["type"] = json!(problem.kind);
            (status, document)
        }
        // An export: lines of JSON, not one document.
        Err(ClientError::Malformed { .. }) => (200, Value::Null),
        Err(error) => panic!("{error}"),
    }
}

/// The last part of a problem's type.
fn problem(body: &Value) -> &str {
    body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
}

fn text<'a>(body: &'a Value, member: &str) -> &'a str {
    body[member].as_str().unwrap_or_else(|| panic!("{member} in {body}"))
}

/// A key of a tenant with some scopes: its record, and a client that holds it.
async fn key(client: &Client, scopes: &[&str]) -> (Value, Client) {
    let body = json!({ "name": "test", "scopes": scopes });
    let (status, made) = ask(client, Method::POST, "/v1/api-keys", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let holder = client.with_key(text(&made, "key"));
    (made, holder)
}

/// Has the operator invite a person, who joins; returns their id.
async fn join(stack: &Stack, tenant: &str, email: &str, role: &str) -> String {
    let body = json!({ "email": email, "name": "N", "role": role });
    let (status, invited) = ask(&stack.admin(), Method::POST, &format!("/v1/tenants/{tenant}/users"), Some(body)).await;
    assert_eq!(status, 201, "{invited}");
    accept(stack, text(&invited["invitation"], "token"), PASSWORD).await;
    text(&invited, "id").to_owned()
}

async fn accept(stack: &Stack, token: &str, password: &str) {
    let mut browser = Browser::new(stack);
    let body = json!({ "token": token, "password": password });
    let (status, refused) = browser.ask(Method::POST, "/v1/invitations/accept", Some(body)).await;
    assert_eq!(status, 204, "{refused}");
}

/// A browser of a person who joined.
async fn logged_in(stack: &Stack, tenant: &str, email: &str) -> Browser {
    let mut browser = Browser::new(stack);
    let (status, answer) = browser.log_in(tenant, email, PASSWORD).await;
    assert_eq!(status, 201, "{answer}");
    browser
}

/// A person of a tenant's team who is logged in: id and browser.
async fn person(stack: &Stack, tenant: &str, email: &str, role: &str) -> (String, Browser) {
    let id = join(stack, tenant, email, role).await;
    (id, logged_in(stack, tenant, email).await)
}
