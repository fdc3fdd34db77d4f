//! What the API refuses: each case with its status and its problem, and nothing half-done afterwards.

mod access;
mod case;
mod documents;
mod ids;
mod messages;
mod queries;
mod requests;
mod tenants;
mod webhooks;

use case::{Case, Key};
use reqwest::{Client, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

const TYPE: &str = "https://metachat.dev/problems/";

/// Ids of another tenant's things.
struct Foreign {
    message: String,
    conversation: String,
    document: String,
    endpoint: String,
}

/// Sends every case to the API and checks its refusal; panics with a list of those that were answered otherwise.
///
/// Needs the api alone: no worker, no Stripe secret, and private networks other than loopback closed to egress.
pub async fn cases(api: &str, admin_key: &str) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let limits = json!({ "requests_per_minute": 10_000, "messages_per_minute": 10_000 });
    let (tenant, key) = new_tenant(&client, api, admin_key, json!({ "name": "Refused", "limits": limits })).await;
    let foreign = foreign(&client, api, admin_key).await;

    let mut wrong = Vec::new();
    let cases = [
        requests::keys(),
        requests::bodies(),
        access::keys(),
        access::log_ins(),
        tenants::tenants(),
        messages::messages(),
        documents::documents(),
        queries::searches(),
        queries::lists(),
        webhooks::endpoints(),
        webhooks::stripe(),
        ids::ids(&foreign),
    ]
    .concat();
    for case in &cases {
        if let Err(reason) = check(&client, api, admin_key, &key, case).await {
            wrong.push(format!("{}: {} {}: {reason}", case.name, case.method, case.path));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    nothing_is_half_done(&client, api, &key, &tenant).await;
}

/// A tenant whose plan is used up is told which limit and how far.
pub async fn plan_limits(api: &str, admin_key: &str) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let limits = json!({ "messages": 2, "conversations": 1, "documents": 0 });
    let (_, key) = new_tenant(&client, api, admin_key, json!({ "name": "Small", "limits": limits })).await;
    let (status, first) = send(&client, api, &key, "/v1/messages", json!({ "text": "one" })).await;
    assert_eq!(status, 202, "{first}");
    let refused = async |path, body| {
        let (status, problem) = send(&client, api, &key, path, body).await;
        assert_eq!((status, &problem["type"]), (402, &json!(format!("{TYPE}plan-limit"))), "{problem}");
        (problem["meter"].clone(), problem["limit"].clone(), problem["current"].clone())
    };
    let conversations = refused("/v1/messages", json!({ "text": "a second conversation" })).await;
    assert_eq!(conversations, (json!("conversations"), json!(1), json!(1)));
    let continued = json!({ "text": "two", "conversation_id": first["conversation_id"] });
    assert_eq!(send(&client, api, &key, "/v1/messages", continued.clone()).await.0, 202);
    assert_eq!(refused("/v1/messages", continued).await, (json!("messages"), json!(2), json!(2)));
    let document = json!({ "name": "n", "content_type": "text/plain", "text": "t" });
    assert_eq!(refused("/v1/documents", document).await, (json!("documents"), json!(0), json!(0)));
}

/// A repeated request with an Idempotency-Key changes nothing and gets the first response.
pub async fn idempotency(api: &str, admin_key: &str) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let (_, key) = new_tenant(&client, api, admin_key, json!({ "name": "Careful" })).await;
    let submit = async |text: &str| {
        let request = client.post(format!("{api}/v1/messages")).bearer_auth(&key).header("idempotency-key", "order-1");
        let response = request.json(&json!({ "text": text })).send().await.expect("an answer");
        let replayed = response.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
        (response.status().as_u16(), replayed, response.json::<Value>().await.expect("JSON"))
    };
    let (status, replayed, _) = submit("").await;
    assert_eq!((status, replayed), (422, false), "a refusal is not remembered");
    let (status, replayed, first) = submit("one").await;
    assert_eq!((status, replayed), (202, false));
    assert_eq!(submit("one").await, (202, true, first));
    let (status, _, problem) = submit("two").await;
    assert_eq!((status, &problem["type"]), (422, &json!(format!("{TYPE}idempotency-mismatch"))));
    assert_eq!(get(&client, api, &key, "/v1/usage").await["messages"]["used"], 1);
}

async fn check(client: &Client, api: &str, admin_key: &str, tenant_key: &str, case: &Case) -> Result<(), String> {
    let mut request = client.request(case.method.clone(), format!("{api}{}", case.path));
    request = match case.key {
        Key::None => request,
        Key::Admin => request.bearer_auth(admin_key),
        Key::Tenant => request.bearer_auth(tenant_key),
        Key::Raw(text) => request.header("authorization", text),
    };
    for (name, value) in &case.headers {
        request = request.header(*name, value);
    }
    if let Some(body) = &case.body {
        request = request.body(body.clone());
    }
    let response = request.send().await.map_err(|error| error.to_string())?;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.map_err(|error| error.to_string())?;
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let expect = |what: &str, ok: bool| {
        if ok { Ok(()) } else { Err(format!("{what}: {status} {text}")) }
    };

    expect("status", status.as_u16() == case.status)?;
    expect("content type", header(CONTENT_TYPE.as_str()) == "application/problem+json")?;
    let problem: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    expect("type", problem["type"] == format!("{TYPE}{}", case.problem))?;
    expect("status member", problem["status"] == case.status)?;
    expect("title", problem["title"].is_string())?;
    expect("request id", !header("x-request-id").is_empty() && problem["request_id"] == header("x-request-id"))?;
    expect("www-authenticate", (status == StatusCode::UNAUTHORIZED) == headers.contains_key("www-authenticate"))?;
    let named =
        problem["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["field"] == case.field));
    expect("field", case.field.is_empty() || named)
}

async fn nothing_is_half_done(client: &Client, api: &str, key: &str, tenant: &str) {
    let usage = get(client, api, key, "/v1/usage").await;
    for meter in ["messages", "conversations", "documents"] {
        assert_eq!(usage[meter]["used"], 0, "{tenant}: {usage}");
    }
    for list in ["/v1/conversations", "/v1/documents", "/v1/events", "/v1/webhook-endpoints", "/v1/jobs/dead"] {
        assert_eq!(get(client, api, key, list).await["data"], json!([]), "{tenant}: {list}");
    }
}

async fn foreign(client: &Client, api: &str, admin_key: &str) -> Foreign {
    let (_, key) = new_tenant(client, api, admin_key, json!({ "name": "Other" })).await;
    let made = async |path, body| {
        let (status, made) = send(client, api, &key, path, body).await;
        assert!(matches!(status, 201 | 202), "{status} {made}");
        made
    };
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let message = made("/v1/messages", json!({ "text": "mine" })).await;
    let document = made("/v1/documents", json!({ "name": "mine", "content_type": "text/plain", "text": "mine" })).await;
    let endpoint = made("/v1/webhook-endpoints", json!({ "url": "https://example.com/" })).await;
    Foreign {
        message: text(&message["id"]),
        conversation: text(&message["conversation_id"]),
        document: text(&document["id"]),
        endpoint: text(&endpoint["id"]),
    }
}

/// Id and key of a fresh tenant.
async fn new_tenant(client: &Client, api: &str, admin_key: &str, body: Value) -> (String, String) {
    let (status, tenant) = send(client, api, admin_key, "/v1/tenants", body).await;
    assert_eq!(status, 201, "{tenant}");
    (tenant["id"].as_str().expect("an id").to_owned(), tenant["api_key"]["key"].as_str().expect("a key").to_owned())
}

async fn send(client: &Client, api: &str, key: &str, path: &str, body: Value) -> (u16, Value) {
    let response = client.post(format!("{api}{path}")).bearer_auth(key).json(&body).send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn get(client: &Client, api: &str, key: &str, path: &str) -> Value {
    let response = client.get(format!("{api}{path}")).bearer_auth(key).send().await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.expect("JSON")
}
