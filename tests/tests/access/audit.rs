//! The audit log: a row for every change, in the transaction that makes it, and nobody who rewrites it.

use reqwest::Method;
use serde_json::{Value, json};
use tests::Stack;

use super::{PASSWORD, accept, ask, join, key, logged_in, text};

#[tokio::test]
async fn every_change_is_told_with_who_what_and_which_request() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let owner_id = join(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut owner = logged_in(&stack, &tenant.id, "ada@example.com").await;
    let session = owner.get("/v1/session").await.1["session_id"].clone();
    let (made, _) = key(&client, &["read"]).await;
    let made = text(&made, "id");
    let rotate = format!("/v1/api-keys/{made}/rotate");
    let (_, new) = owner.ask(Method::POST, &rotate, Some(json!({ "overlap_seconds": 60 }))).await;
    owner.ask(Method::DELETE, &format!("/v1/api-keys/{made}"), None).await;
    let settings = json!({ "settings": { "brand": "Fell" } });
    owner.ask(Method::PATCH, "/v1/tenant", Some(settings.clone())).await;
    owner.ask(Method::PATCH, "/v1/tenant", Some(settings)).await;
    let plan = json!({ "plan": "starter" });
    ask(&stack.admin(), Method::PATCH, &format!("/v1/tenants/{}", tenant.id), Some(plan)).await;
    let body = json!({ "email": "bob@example.com", "name": "Bob", "role": "member" });
    let (_, bob) = owner.ask(Method::POST, "/v1/users", Some(body)).await;
    accept(&stack, text(&bob["invitation"], "token"), PASSWORD).await;
    let bob = text(&bob, "id");
    owner.ask(Method::PATCH, &format!("/v1/users/{bob}"), Some(json!({ "role": "admin" }))).await;
    owner.ask(Method::POST, &format!("/v1/users/{bob}/invitation"), None).await;
    owner.ask(Method::DELETE, &format!("/v1/users/{bob}"), None).await;
    let (_, hook) =
        owner.ask(Method::POST, "/v1/webhook-endpoints", Some(json!({ "url": "https://example.com/" }))).await;
    let hook = text(&hook, "id");
    owner.ask(Method::DELETE, &format!("/v1/webhook-endpoints/{hook}"), None).await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another password" });
    let changed = owner.send(Method::POST, "/v1/session/password", Some(change)).await;
    let last_request = changed.headers()["x-request-id"].to_str().unwrap().to_owned();

    let (_, log) = ask(&client, Method::GET, "/v1/audit-log?limit=100", None).await;
    let entries = log["data"].as_array().unwrap();
    let told: Vec<_> =
        entries.iter().rev().map(|it| (text(it, "action"), text(&it["actor"], "kind"), text(it, "target"))).collect();
    let session = session.as_str().unwrap();
    let expected = [
        ("tenant.created", "operator", tenant.id.as_str()),
        ("user.invited", "operator", &owner_id),
        ("user.joined", "user", &owner_id),
        ("session.started", "user", session),
        ("api_key.created", "key", made),
        ("api_key.rotated", "user", made),
        ("api_key.revoked", "user", made),
        ("tenant.updated", "user", &tenant.id),
        ("tenant.updated", "operator", &tenant.id),
        ("user.invited", "user", bob),
        ("user.joined", "user", bob),
        ("user.updated", "user", bob),
        ("user.invited", "user", bob),
        ("user.removed", "user", bob),
        ("webhook_endpoint.created", "user", hook),
        ("webhook_endpoint.deleted", "user", hook),
        ("user.password_changed", "user", &owner_id),
    ];
    assert_eq!(told, expected);
    let of = |action: &str| entries.iter().find(|it| it["action"] == action).unwrap();
    assert_eq!(of("api_key.created")["actor"]["id"], tenant.api_key.id.as_str());
    assert_eq!(of("api_key.rotated")["after"]["replaced_by"], new["id"]);
    assert_eq!(of("api_key.revoked")["actor"]["id"], owner_id.as_str());
    assert_eq!(of("user.updated")["before"], json!({ "role": "member" }));
    assert_eq!(of("user.updated")["after"], json!({ "role": "admin" }));
    assert_eq!(of("tenant.updated")["before"], json!({ "plan": "pro" }), "the members that changed only");
    assert_eq!(of("user.password_changed")["request_id"], last_request.as_str());
    for secret in ["mk_live_", "mk_invite_", "whsec_", "argon2", PASSWORD, "another password"] {
        assert!(!log.to_string().contains(secret), "{secret}");
    }

    let (_, page) = ask(&client, Method::GET, "/v1/audit-log?limit=10", None).await;
    let next = format!("/v1/audit-log?limit=10&cursor={}", text(&page, "next_cursor"));
    let (_, rest) = ask(&client, Method::GET, &next, None).await;
    assert_eq!([&page, &rest].map(|page| page["data"].as_array().map(Vec::len)), [Some(10), Some(7)]);
    let (_, other) = stack.tenant("Elsewhere").await;
    let (_, log) = ask(&other, Method::GET, "/v1/audit-log", None).await;
    assert_eq!(log["data"].as_array().map(Vec::len), Some(1), "its own only: {log}");
    let (_, log) = ask(&stack.admin(), Method::GET, "/v1/operator-audit-log", None).await;
    assert_eq!(log["data"], json!([]), "no tenant's");
}

/// Without its row a change does not happen.
#[tokio::test]
async fn a_change_that_cannot_be_told_is_not_made() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (made, _) = key(&client, &["read"]).await;
    let bob = join(&stack, &tenant.id, "bob@example.com", "member").await;
    let (_, hook) =
        ask(&client, Method::POST, "/v1/webhook-endpoints", Some(json!({ "url": "https://example.com/" }))).await;
    let owner = stack.database.owner().await;
    sqlx::query("alter table audit_log add constraint shut check (false) not valid").execute(owner).await.unwrap();
    let made = format!("/v1/api-keys/{}", text(&made, "id"));
    let user = format!("/v1/users/{bob}");
    let hook = format!("/v1/webhook-endpoints/{}", text(&hook, "id"));
    let admin = stack.admin();
    let calls: [(&_, Method, &str, Option<Value>); 12] = [
        (&admin, Method::POST, "/v1/tenants", Some(json!({ "name": "n" }))),
        (&admin, Method::POST, "/v1/operator-keys", Some(json!({ "name": "n" }))),
        (&client, Method::POST, "/v1/api-keys", Some(json!({ "name": "n", "scopes": ["read"] }))),
        (&client, Method::POST, &format!("{made}/rotate"), Some(json!({}))),
        (&client, Method::DELETE, &made, None),
        (&client, Method::PATCH, "/v1/tenant", Some(json!({ "settings": { "brand": "b" } }))),
        (&client, Method::POST, "/v1/users", Some(json!({ "email": "a@b", "name": "n", "role": "member" }))),
        (&client, Method::PATCH, &user, Some(json!({ "name": "Eve" }))),
        (&client, Method::POST, &format!("{user}/invitation"), None),
        (&client, Method::DELETE, &user, None),
        (&client, Method::POST, "/v1/webhook-endpoints", Some(json!({ "url": "https://example.com/b" }))),
        (&client, Method::DELETE, &hook, None),
    ];
    for (client, method, path, body) in calls {
        assert_eq!(ask(client, method.clone(), path, body).await.0, 500, "{method} {path}");
    }
    let mut browser = super::Browser::new(&stack);
    assert_eq!(browser.log_in(&tenant.id, "bob@example.com", PASSWORD).await.0, 500);
    let untouched = "select (select count(*) from tenants) = 1 and (select count(*) from operator_keys) = 0
        and (select count(*) from api_keys where revoked_at is null and replaced_by is null) = 2
        and (select count(*) from tenants where settings->>'brand' is not null) = 0
        and (select count(*) from users where name = 'N' and invitation_hash is null) = 1
        and (select count(*) from webhook_endpoints) = 1
        and (select count(*) from sessions) = 0";
    let untouched = sqlx::query_scalar::<_, bool>(untouched).fetch_one(owner).await.unwrap();
    assert!(untouched);
}

#[tokio::test]
async fn no_role_of_the_processes_rewrites_it() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let mut connection = stack.database.owner().await.acquire().await.unwrap();
    for role in ["metachat_app", "metachat_system"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("set role {role}"))).execute(&mut *connection).await.unwrap();
        for statement in [
            "update audit_log set action = 'nothing'",
            "delete from audit_log",
            "truncate audit_log",
            "drop table audit_log",
            "alter table audit_log disable row level security",
        ] {
            let refused = sqlx::query(statement).execute(&mut *connection).await.unwrap_err().to_string();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{role}: {refused}");
        }
    }
    sqlx::query("reset role").execute(&mut *connection).await.unwrap();
    assert_eq!(stack.database.count("select count(*) from audit_log").await, 1);
    sqlx::query("delete from tenants where 'tnt_' || replace(id::text, '-', '') = $1")
        .bind(&tenant.id)
        .execute(&mut *connection)
        .await
        .unwrap();
    assert_eq!(stack.database.count("select count(*) from audit_log").await, 0, "it goes with its tenant");
}
