//! The operator: further keys, and what is done with tenants.

use std::time::Duration;

use loadtest::client::Client;
use reqwest::Method;
use serde_json::json;
use tests::{Stack, eventually};

use super::{ask, problem, text};

const LIMIT: Duration = Duration::from_secs(10);

async fn opens(client: &Client) -> bool {
    match ask(client, Method::GET, "/v1/tenants", None).await {
        (200, _) => true,
        (401, _) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_operator_has_keys_that_expire_rotate_and_are_revoked() {
    let stack = Stack::builder().workers(0).start().await;
    let environment = stack.admin();
    let (status, made) = ask(&environment, Method::POST, "/v1/operator-keys", Some(json!({ "name": "on call" }))).await;
    assert_eq!(status, 201, "{made}");
    assert!(text(&made, "key").starts_with("mk_admin_"));
    let first = environment.with_key(text(&made, "key"));
    assert!(opens(&first).await);
    eventually("the use is noted", LIMIT, async || {
        let (_, list) = ask(&environment, Method::GET, "/v1/operator-keys", None).await;
        (!list["data"][0]["last_used_at"].is_null() && list["data"][0].get("key").is_none()).then_some(())
    })
    .await;

    let path = format!("/v1/operator-keys/{}", text(&made, "id"));
    let (status, new) =
        ask(&first, Method::POST, &format!("{path}/rotate"), Some(json!({ "overlap_seconds": 0 }))).await;
    assert_eq!(status, 201, "{new}");
    let second = environment.with_key(text(&new, "key"));
    assert!(opens(&second).await);
    eventually("the old key has ended", LIMIT, async || (!opens(&first).await).then_some(())).await;
    let path = format!("/v1/operator-keys/{}", text(&new, "id"));
    assert_eq!(ask(&second, Method::DELETE, &path, None).await.0, 204, "its own");
    eventually("the key is refused", LIMIT, async || (!opens(&second).await).then_some(())).await;
    assert!(opens(&environment).await);

    let (_, log) = ask(&environment, Method::GET, "/v1/operator-audit-log", None).await;
    let entries: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["action"].as_str().unwrap(), it["actor"]["id"].clone()))
        .collect();
    let expected = [
        ("operator_key.revoked", new["id"].clone()),
        ("operator_key.rotated", made["id"].clone()),
        ("operator_key.created", json!(null)),
    ];
    assert_eq!(entries, expected);
}

#[tokio::test]
async fn tenants_are_listed_read_and_changed() {
    let stack = Stack::builder().workers(0).start().await;
    let admin = stack.admin();
    let mut made = Vec::new();
    for name in ["One", "Two", "Three"] {
        made.insert(0, stack.tenant(name).await);
    }
    let (_, first) = ask(&admin, Method::GET, "/v1/tenants?limit=2", None).await;
    let (_, rest) =
        ask(&admin, Method::GET, &format!("/v1/tenants?limit=2&cursor={}", text(&first, "next_cursor")), None).await;
    let listed: Vec<_> =
        [&first, &rest].iter().flat_map(|page| page["data"].as_array().unwrap()).map(|it| it["id"].clone()).collect();
    assert_eq!(listed, made.iter().map(|(tenant, _)| json!(tenant.id)).collect::<Vec<_>>());
    assert_eq!(rest["next_cursor"], json!(null));

    let (tenant, client) = &made[0];
    let path = format!("/v1/tenants/{}", tenant.id);
    let change = json!({ "name": "Third", "plan": "starter", "limits": { "messages": 7 },
        "settings": { "confidence": { "mode": "strict" } } });
    let (status, changed) = ask(&admin, Method::PATCH, &path, Some(change)).await;
    assert_eq!((status, &changed["name"], &changed["plan"]), (200, &json!("Third"), &json!("starter")), "{changed}");
    assert_eq!(ask(&admin, Method::GET, &path, None).await.1, changed);
    eventually("the tenant's requests go by it", LIMIT, async || {
        let usage = ask(client, Method::GET, "/v1/usage", None).await.1;
        (usage["messages"]["limit"] == 7 && usage["plan"] == "starter").then_some(())
    })
    .await;
    for (change, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "plan": "gold" }), "plan"),
        (json!({ "limits": { "team": -1 } }), "limits.team"),
        (json!({ "settings": { "model": { "temperature": 3 } } }), "settings.model.temperature"),
        (json!({ "id": "x" }), "id"),
    ] {
        let (status, refused) = ask(&admin, Method::PATCH, &path, Some(change)).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!(field)), "{refused}");
    }
    assert_eq!(ask(&admin, Method::GET, &path, None).await.1, changed, "a refusal changes nothing");

    assert_eq!(ask(&admin, Method::PATCH, &path, Some(json!({ "enabled": false }))).await.0, 200);
    eventually("the tenant is switched off", LIMIT, async || {
        let (status, refused) = ask(client, Method::GET, "/v1/usage", None).await;
        (status == 403 && problem(&refused) == "tenant-disabled").then_some(())
    })
    .await;
    let (_, other) = &made[1];
    assert_eq!(ask(other, Method::GET, "/v1/usage", None).await.0, 200, "others are left alone");
}

#[tokio::test]
async fn the_operator_makes_keys_for_tenants_that_exist() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let body = Some(json!({ "name": "spare", "scopes": ["read"] }));
    let path = format!("/v1/tenants/{}/api-keys", tenant.id);
    let (status, made) = ask(&stack.admin(), Method::POST, &path, body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(ask(&client.with_key(text(&made, "key")), Method::GET, "/v1/usage", None).await.0, 200);
    for nobody in ["tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6", "x"] {
        let missing = async |method, path: String, body| ask(&stack.admin(), method, &path, body).await.0;
        assert_eq!(missing(Method::POST, format!("/v1/tenants/{nobody}/api-keys"), body.clone()).await, 404);
        assert_eq!(missing(Method::PATCH, format!("/v1/tenants/{nobody}"), Some(json!({ "name": "n" }))).await, 404);
        assert_eq!(missing(Method::GET, format!("/v1/tenants/{nobody}"), None).await, 404);
        let person = json!({ "email": "a@b", "name": "n", "role": "owner" });
        assert_eq!(missing(Method::POST, format!("/v1/tenants/{nobody}/users"), Some(person)).await, 404);
    }
    assert_eq!(stack.database.count("select count(*) from users").await, 0);
}

#[tokio::test]
async fn a_tenant_reads_and_changes_its_own_settings_only() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, mine) = stack.tenant("Fellmark").await;
    let (_, others) = stack.tenant("Elsewhere").await;
    let settings = json!({ "settings": { "brand": "Fell", "confidence": { "mode": "lenient" } } });
    let (status, changed) = ask(&mine, Method::PATCH, "/v1/tenant", Some(settings)).await;
    assert_eq!((status, &changed["settings"]["brand"]), (200, &json!("Fell")), "{changed}");
    assert_eq!(ask(&mine, Method::GET, "/v1/tenant", None).await.1, changed);
    assert_eq!(ask(&others, Method::GET, "/v1/tenant", None).await.1["settings"]["brand"], json!(null));
    for change in [json!({ "plan": "pro" }), json!({ "settings": {}, "limits": {} }), json!({ "enabled": true })] {
        assert_eq!(ask(&mine, Method::PATCH, "/v1/tenant", Some(change)).await.0, 422);
    }
}
