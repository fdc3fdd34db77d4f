//! No operation shows or changes what is another tenant's: every one of the API's description is called by a stranger.
//!
//! A path or a body that the walk does not know fails it, so that no new operation goes unwalked.

mod belongings;
mod snapshot;

use std::{collections::BTreeMap, time::Duration};

use belongings::Belongings;
use loadtest::client::Client;
use reqwest::Method;
use serde_json::{Value, json};
use snapshot::{settled, snapshot};
use tests::Stack;

use super::PASSWORD;

const LIMIT: Duration = Duration::from_secs(60);

struct Operation {
    id: String,
    method: Method,
    path: String,
    /// The credentials that open it; none opens it to all.
    keys: Vec<String>,
    body: Option<String>,
}

/// Every operation of the description.
fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(api::openapi::document()).expect("plain data");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let security = operation["security"].as_array().expect("who may call it");
            let keys = security.iter().flat_map(|key| key.as_object().expect("a requirement").keys().cloned());
            let json = &operation["requestBody"]["content"]["application/json"]["schema"];
            let name = json["$ref"].as_str().and_then(|name| name.rsplit('/').next());
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_ascii_uppercase().parse().expect("a method"),
                path: path.clone(),
                keys: keys.collect(),
                body: json.is_object().then(|| name.unwrap_or("?").to_owned()),
            });
        }
    }
    operations
}

impl Operation {
    fn is_opened_by(&self, key: &str) -> bool {
        self.keys.iter().any(|own| own == key)
    }

    /// What is in front of the id, when the path holds one.
    fn collection(&self) -> Option<&str> {
        self.path.split_once("/{").map(|(collection, _)| collection)
    }

    /// The path with the id that is `things`' of its kind.
    fn path(&self, things: &Belongings) -> String {
        let Some((collection, rest)) = self.path.split_once("/{") else { return self.path.clone() };
        let id = things.ids.get(collection).unwrap_or_else(|| panic!("{collection}: make one in belongings.rs"));
        let after = rest.split_once('}').expect("a parameter ends").1;
        assert!(!after.contains('{'), "{}: a second id is not walked", self.path);
        format!("{collection}/{id}{after}")
    }

    /// A body that would change something if the path were the caller's own; and one that names `theirs`.
    fn body(&self, theirs: &Belongings) -> Option<Value> {
        Some(match self.body.as_deref()? {
            "KeyRotation" => json!({ "overlap_seconds": 0 }),
            "UserChange" => json!({ "name": "Taken", "role": "owner" }),
            "TenantChange" | "OwnTenantChange" => json!({ "settings": { "brand": "Taken" } }),
            "NewApiKey" => json!({ "name": "Taken", "scopes": ["admin"] }),
            "NewOperatorKey" => json!({ "name": "Taken" }),
            "NewUser" => json!({ "email": "taken@example.com", "name": "Taken", "role": "owner" }),
            "NewModelKey" => json!({ "key": "sk-taken-0123456789" }),
            "NewChannel" => json!({ "type": "messenger", "name": "Taken", "account_id": "1" }),
            "ChannelSecrets" => json!({ "app_secret": "taken-0123456789" }),
            "NewTenant" => json!({ "name": "Taken" }),
            "NewWebhookEndpoint" => json!({ "url": "https://example.com/" }),
            "Submission" => json!({ "text": "Taken?", "conversation_id": theirs.ids["/v1/conversations"] }),
            "SearchRequest" => json!({ "query": belongings::SECRET, "document_ids": [theirs.ids["/v1/documents"]] }),
            "TextUpload" => json!({ "name": "n", "content_type": "text/plain", "text": "Nothing of anybody's." }),
            "DeadJobSelection" | "ReplayRequest" => json!({ "all": true }),
            "LogIn" => json!({ "tenant_id": theirs.tenant, "email": "b@example.com", "password": PASSWORD }),
            "Acceptance" => json!({ "token": "inv_taken", "password": PASSWORD }),
            "PasswordChange" => json!({ "current_password": "wrong", "new_password": "another good password" }),
            "?" if self.id == "receive_stripe_event" => json!({}),
            other => panic!("{}: say in isolation.rs what a stranger would send as {other}", self.id),
        })
    }
}

/// Status and text of any answer.
async fn send(client: &Client, method: &Method, path: &str, body: Option<Value>) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = http.request(method.clone(), format!("{}{path}", client.base_url())).bearer_auth(client.key());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.timeout(LIMIT).send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

#[tokio::test]
async fn no_operation_shows_or_changes_what_is_another_tenants() {
    let stack = Stack::builder().env("STRIPE_WEBHOOK_SECRETS", "whsec_walk").start().await;
    let (mut a, mut b) = (Belongings::make(&stack, "a").await, Belongings::make(&stack, "b").await);
    stack.idle(LIMIT).await;
    let before = settled(&stack, &a.tenant).await;
    assert!(before.values().filter(|(rows, _)| *rows > 0).count() >= 14, "A owns something of most kinds: {before:?}");

    let mut wrong = Vec::new();
    for operation in operations() {
        // Its own session is B's to end.
        if operation.id == "log_out" {
            continue;
        }
        let (path, body) = (operation.path(&a), operation.body(&a));
        let by_person = operation.is_opened_by("console_session") && !operation.is_opened_by("tenant_key");
        let (status, shown) = match by_person {
            true => {
                let (status, answer) = b.browser.ask(operation.method.clone(), &path, body).await;
                (status, answer.to_string())
            }
            false => send(&b.client, &operation.method, &path, body).await,
        };
        let expected = match operation.id.as_str() {
            // Names A's conversation in its body.
            "submit_message" => status == 404,
            "log_in" => status == 401,
            _ if operation.is_opened_by("admin_key") && !operation.is_opened_by("tenant_key") => status == 401,
            _ if operation.collection().is_some() => status == 404,
            _ => status < 500,
        };
        if !expected {
            wrong.push(format!("{} {path}: {status} {shown}", operation.method));
        }
        let leaked = a
            .ids
            .values()
            .map(String::as_str)
            .chain([a.tenant.as_str(), belongings::SECRET])
            .find(|id| shown.contains(id));
        if let Some(leaked) = leaked.filter(|_| status < 400) {
            wrong.push(format!("{} {path} shows {leaked}: {shown}", operation.method));
        }
        let now = snapshot(&stack, &a.tenant).await;
        if now != before {
            wrong.push(format!(
                "{} {path} ({status}) changed A's rows: {:?}",
                operation.method,
                differences(&before, &now)
            ));
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // The same ids in A's own hands are all there: what B was refused exists.
    for operation in operations().iter().filter(|operation| operation.method == Method::GET) {
        let path = operation.path(&a);
        if operation.is_opened_by("tenant_key") {
            let (status, shown) = send(&a.client, &Method::GET, &path, None).await;
            assert_eq!(status, 200, "{path}: {shown}");
        }
    }
    let (status, _) = a.browser.ask(Method::DELETE, "/v1/session", None).await;
    assert_eq!(status, 204);
    stack.database.discard_jobs().await;
}

fn differences<'a>(before: &'a BTreeMap<String, (i64, String)>, now: &BTreeMap<String, (i64, String)>) -> Vec<&'a str> {
    before.iter().filter(|(table, rows)| now.get(*table) != Some(rows)).map(|(table, _)| table.as_str()).collect()
}

#[tokio::test]
async fn the_audiences_keys_open_nothing_of_each_other() {
    let stack = Stack::builder().workers(0).env("RATE_LIMIT_PER_ADDRESS", "100000").start().await;
    let (tenant, client) = stack.tenant("Audience").await;
    let things = Belongings::unmade(&tenant, client.clone(), &stack);
    let nobody = client.with_key("mk_live_00000000000000000000000000000000000000000000000000000000000000ff");
    let refused = async |client: &Client, operation: &Operation, who: &str| {
        let path = operation.path(&things);
        let (status, shown) = send(client, &operation.method, &path, operation.body(&things)).await;
        assert_eq!(status, 401, "{who}: {} {path}: {shown}", operation.method);
    };
    let mut asked = 0;
    for operation in operations() {
        if operation.keys.is_empty() {
            continue;
        }
        refused(&nobody, &operation, "an unknown key").await;
        // Most of all where there would be no tenant to filter by.
        if !operation.is_opened_by("admin_key") {
            refused(&stack.admin(), &operation, "the operator's key").await;
        }
        if !operation.is_opened_by("tenant_key") {
            refused(&client, &operation, "a tenant's key").await;
        }
        asked += 1;
    }
    assert!(asked > 50, "{asked}");
    assert_eq!(stack.database.count("select count(*) from tenants").await, 1);
    assert_eq!(stack.database.count("select count(*) from jobs").await, 0);
}
