//! A channel's secrets: set and replaced, never shown, sealed anew with the others, gone with the channel.

use jobs::domain::{
    ids::TenantId,
    secret::{Sealed, Vault},
};
use reqwest::Method;
use secrecy::ExposeSecret;
use sqlx::Row;

use super::*;

const TOKEN: &str = "EAAG-first-0123456789-abcd";
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const REPLACED: &str = "EAAG-second-0123456789-wxyz";
const ACCOUNT: &str = "106540352242922";

async fn ask(client: &Client, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let request = anybody().request(method, format!("{}{path}", client.base_url())).bearer_auth(client.key());
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// What the one channel's secrets are, by name, opened with these keys.
async fn opened(stack: &Stack, keys: &str, tenant: &str) -> Vec<(String, String)> {
    let vault = keys.parse::<Vault>().unwrap();
    let tenant = tenant.parse::<TenantId>().unwrap();
    let rows = sqlx::query("select id, name, value from channel_secrets order by name")
        .fetch_all(stack.database.owner().await)
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            let place = Column::ChannelSecret.place(Some(tenant), row.get("id"));
            let plain = vault.open(place, &Sealed::from_bytes(row.get("value"))).unwrap();
            (row.get("name"), plain.expose_secret().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn a_channels_secrets_are_written_and_never_shown() {
    let mut stack = Stack::builder().env("SECRETS_KEYS", OLD).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, other) = stack.tenant("Other").await;
    let new = |kind: &str, account: &str| Some(json!({ "type": kind, "name": "Care", "account_id": account }));
    for (kind, account) in [("fax", ACCOUNT), ("whatsapp", ""), ("whatsapp", "page"), ("whatsapp", &"1".repeat(65))] {
        assert_eq!(ask(&client, Method::POST, "/v1/channels", new(kind, account)).await.0, 422, "{kind} {account}");
    }
    let (status, channel) = ask(&client, Method::POST, "/v1/channels", new("whatsapp", ACCOUNT)).await;
    assert_eq!((status, &channel["secrets"]), (201, &json!([])), "{channel}");
    // One of an account for each tenant and provider.
    let (status, taken) = ask(&client, Method::POST, "/v1/channels", new("whatsapp", ACCOUNT)).await;
    assert_eq!((status, taken["type"].as_str().unwrap().ends_with("/account-taken")), (409, true), "{taken}");
    assert_eq!(ask(&other, Method::POST, "/v1/channels", new("whatsapp", ACCOUNT)).await.0, 201);

    let path = format!("/v1/channels/{}", channel["id"].as_str().unwrap());
    let secrets = format!("{path}/secrets");
    for refused in
        [json!({ "access_token": "short" }), json!({ "app_secret": "k".repeat(1025) }), json!({ "pin": TOKEN })]
    {
        assert_eq!(ask(&client, Method::PATCH, &secrets, Some(refused.clone())).await.0, 422, "{refused}");
    }
    let both = json!({ "access_token": TOKEN, "app_secret": SECRET });
    assert_eq!(ask(&other, Method::PATCH, &secrets, Some(both.clone())).await.0, 404);
    let (status, shown) = ask(&client, Method::PATCH, &secrets, Some(both)).await;
    let names = |shown: &Value| {
        let secrets = shown["secrets"].as_array().unwrap().iter();
        secrets.map(|one| (one["name"].to_string(), one["last_four"].to_string())).collect::<Vec<_>>()
    };
    let pair = |name: &str, last_four: &str| (format!("{name:?}"), format!("{last_four:?}"));
    assert_eq!(status, 200, "{shown}");
    assert_eq!(names(&shown), [pair("access_token", "abcd"), pair("app_secret", "cdef")]);
    // What is left out stays.
    let (_, shown) = ask(&client, Method::PATCH, &secrets, Some(json!({ "access_token": REPLACED }))).await;
    assert_eq!(names(&shown), [pair("access_token", "wxyz"), pair("app_secret", "cdef")]);
    assert_eq!(ask(&client, Method::GET, &path, None).await, (200, shown.clone()));
    let (_, listed) = ask(&client, Method::GET, "/v1/channels", None).await;
    assert_eq!(listed["data"], json!([shown]));

    let plain = [("access_token".to_owned(), REPLACED.to_owned()), ("app_secret".to_owned(), SECRET.to_owned())];
    assert_eq!(opened(&stack, OLD, &tenant.id).await, plain);
    let all = [TOKEN, SECRET, REPLACED];
    assert_eq!(tables_that_hold(&stack, &all).await, [""; 0]);
    let rotated = metachat(&stack, &format!("{NEW},{OLD}"), "rotate");
    assert!(rotated.status.success(), "{rotated:?}");
    restart(&mut stack, NEW).await;
    assert_eq!(opened(&stack, NEW, &tenant.id).await, plain);

    assert_eq!(ask(&client, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(ask(&client, Method::DELETE, &path, None).await.0, 404);
    assert_eq!(stack.database.count("select count(*) from channel_secrets").await, 0);
    let told = "select count(*) from audit_log where action like 'channel.%'";
    assert_eq!(stack.database.count(told).await, 1 + 1 + 2 + 1, "two made, two changes of secrets, one removed");
    assert!(!stack.api.as_ref().unwrap().log().contains(SECRET));
    stack.finish().await;
}
