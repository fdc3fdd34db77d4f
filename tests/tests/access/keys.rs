//! A tenant's keys: what they open, and until when.

use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use loadtest::client::Client;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Stack, eventually};

use super::{ask, key, problem, text};

const LIMIT: Duration = Duration::from_secs(10);
/// How long a revoked key may work, and as much again for a busy machine.
const BELIEVED: Duration = Duration::from_secs(2);

async fn opens(client: &Client) -> bool {
    match ask(client, Method::GET, "/v1/usage", None).await {
        (200, _) => true,
        (401, _) => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_kept_as_a_hash() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let (made, reader) = key(&admin, &["read", "jobs:write"]).await;
    assert!(opens(&reader).await);
    let secret = text(&made, "key");
    assert!(secret.starts_with("mk_live_") && secret.len() == 72 && secret.ends_with(text(&made, "last_four")));
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    let (status, read) = ask(&admin, Method::GET, &path, None).await;
    assert_eq!((status, &read["scopes"], read.get("key")), (200, &json!(["read", "jobs:write"]), None));
    let (_, list) = ask(&admin, Method::GET, "/v1/api-keys?limit=1", None).await;
    assert_eq!(list["data"][0]["id"], made["id"], "the newest first");
    let next = format!("/v1/api-keys?cursor={}", text(&list, "next_cursor"));
    assert_eq!(ask(&admin, Method::GET, &next, None).await.1["data"][0]["name"], "default");
    for (table, secret) in [("api_keys", secret), ("audit_log", secret), ("tenants", secret)] {
        let query = sqlx::AssertSqlSafe(format!("select count(*) from {table} t where t::text like '%' || $1 || '%'"));
        let found = sqlx::query_scalar::<_, i64>(query).bind(secret).fetch_one(stack.database.owner().await).await;
        assert_eq!(found.unwrap(), 0, "{table}");
    }
    let hashed = "select count(*) from api_keys where hash = sha256($1::bytea)";
    let found = sqlx::query_scalar::<_, i64>(hashed).bind(secret.as_bytes());
    assert_eq!(found.fetch_one(stack.database.owner().await).await.unwrap(), 1);
}

#[tokio::test]
async fn a_key_is_made_by_an_admin_only_and_of_known_scopes() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let past = Utc::now() - TimeDelta::seconds(1);
    for (body, field) in [
        (json!({ "name": "n", "scopes": [] }), "scopes"),
        (json!({ "name": "n", "scopes": ["root"] }), "scopes[0]"),
        (json!({ "name": " ", "scopes": ["read"] }), "name"),
        (json!({ "name": "n", "scopes": ["read"], "expires_at": past }), "expires_at"),
        (json!({ "name": "n" }), "scopes"),
    ] {
        let (status, refused) = ask(&admin, Method::POST, "/v1/api-keys", Some(body.clone())).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!(field)), "{body}: {refused}");
    }
    let all_but_admin = ["read", "messages:write", "documents:write", "webhooks:write", "jobs:write"];
    let (_, holder) = key(&admin, &all_but_admin).await;
    for scopes in [json!(["read"]), json!(["admin"])] {
        let body = json!({ "name": "n", "scopes": scopes });
        let (status, refused) = ask(&holder, Method::POST, "/v1/api-keys", Some(body)).await;
        assert_eq!((status, problem(&refused), &refused["scope"]), (403, "insufficient-scope", &json!("admin")));
    }
    assert_eq!(stack.database.count("select count(*) from api_keys").await, 2);
}

/// Revocation is believed by every replica within a second.
#[tokio::test]
async fn a_revoked_key_opens_nothing_on_any_replica() {
    let stack = Stack::builder().workers(0).start().await;
    let (_replica, replica_url) = stack.replica().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let (made, here) = key(&admin, &["read"]).await;
    let there = Client::new(&replica_url, here.key()).unwrap();
    assert!(opens(&here).await && opens(&there).await);
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    assert_eq!(ask(&admin, Method::DELETE, &path, None).await.0, 204);
    let revoked = Instant::now();
    while opens(&here).await || opens(&there).await {
        assert!(revoked.elapsed() < BELIEVED, "still open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!opens(&here).await && !opens(&there).await, "and stays closed");
    assert_eq!(ask(&admin, Method::DELETE, &path, None).await.0, 204, "again changes nothing");
    assert_eq!(stack.database.count("select count(*) from audit_log where action = 'api_key.revoked'").await, 1);
    assert!(opens(&admin).await, "others are left alone");
}

#[tokio::test]
async fn a_rotated_key_works_for_its_overlap_and_no_longer() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let (made, old) = key(&admin, &["read"]).await;
    let rotate = format!("/v1/api-keys/{}/rotate", text(&made, "id"));
    let too_long = Some(json!({ "overlap_seconds": 604_801 }));
    assert_eq!(ask(&admin, Method::POST, &rotate, too_long).await.0, 422);
    let (status, new) = ask(&admin, Method::POST, &rotate, Some(json!({ "overlap_seconds": 2 }))).await;
    assert_eq!((status, &new["name"], &new["scopes"]), (201, &json!("test"), &json!(["read"])));
    let rotated = Instant::now();
    let holder = admin.with_key(text(&new, "key"));
    assert!(opens(&old).await && opens(&holder).await, "both");
    let (status, refused) = ask(&admin, Method::POST, &rotate, Some(json!({}))).await;
    assert_eq!((status, problem(&refused)), (409, "key-ended"), "once");
    eventually("the old key has ended", LIMIT, async || (!opens(&old).await).then_some(())).await;
    let took = rotated.elapsed();
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(4), "{took:?}");
    assert!(opens(&holder).await);
    let (_, read) = ask(&admin, Method::GET, &format!("/v1/api-keys/{}", text(&made, "id")), None).await;
    assert_eq!(read["replaced_by"], new["id"]);
}

/// The answer about a key is believed for a second; its expiry does not wait for that.
#[tokio::test]
async fn a_key_expires_to_the_moment_and_its_successor_lives_as_long() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let expires_at = Utc::now() + TimeDelta::milliseconds(2_500);
    let body = json!({ "name": "short", "scopes": ["read"], "expires_at": expires_at });
    let (status, made) = ask(&admin, Method::POST, "/v1/api-keys", Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let holder = admin.with_key(text(&made, "key"));
    let mut last = None;
    while Utc::now() < expires_at + TimeDelta::milliseconds(200) {
        let asked_at = Utc::now();
        if opens(&holder).await {
            last = Some(asked_at);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = last.expect("it worked at first");
    assert!(last < expires_at, "{last} {expires_at}");
    let rotate = format!("/v1/api-keys/{}/rotate", text(&made, "id"));
    assert_eq!(ask(&admin, Method::POST, &rotate, Some(json!({}))).await.0, 409, "an expired key is not rotated");

    let expires_at = Utc::now() + TimeDelta::days(30);
    let body = json!({ "name": "long", "scopes": ["read"], "expires_at": expires_at });
    let (_, made) = ask(&admin, Method::POST, "/v1/api-keys", Some(body)).await;
    let rotate = format!("/v1/api-keys/{}/rotate", text(&made, "id"));
    let (_, new) = ask(&admin, Method::POST, &rotate, Some(json!({}))).await;
    let until: chrono::DateTime<Utc> = text(&new, "expires_at").parse().unwrap();
    assert!((until - expires_at).abs() < TimeDelta::minutes(1), "{until}");
}

#[tokio::test]
async fn last_use_is_noted_beside_the_requests_and_once_a_minute() {
    let stack = Stack::builder().workers(0).start().await;
    let (_replica, replica_url) = stack.replica().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let (made, here) = key(&admin, &["read"]).await;
    let there = Client::new(&replica_url, here.key()).unwrap();
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    let last_used = async || ask(&admin, Method::GET, &path, None).await.1["last_used_at"].clone();
    assert_eq!(last_used().await, Value::Null);
    let writes = "select n_tup_upd::bigint from pg_stat_user_tables where relname = 'api_keys'";
    for _ in 0..20 {
        assert!(opens(&here).await && opens(&there).await);
    }
    let noted = eventually("the use is noted", LIMIT, async || {
        let at = last_used().await;
        (!at.is_null()).then_some(at)
    })
    .await;
    for _ in 0..20 {
        assert!(opens(&here).await && opens(&there).await);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(last_used().await, noted, "not again within the minute, by whatever replica");
    // The admin's own key and this one: two rows written, whoever used them how often.
    assert!(stack.database.count(writes).await <= 2);

    // Whoever cannot write it lets the request pass.
    sqlx::query("revoke update on api_keys from metachat_system").execute(stack.database.owner().await).await.unwrap();
    let (_, unnoted) = key(&admin, &["read"]).await;
    assert!(opens(&unnoted).await);
}

#[tokio::test]
async fn a_key_is_rotated_once_and_a_tenant_has_a_hundred() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let (made, _) = key(&admin, &["read"]).await;
    let rotate = format!("/v1/api-keys/{}/rotate", text(&made, "id"));
    let rotations = (0..8).map(|_| ask(&admin, Method::POST, &rotate, Some(json!({}))));
    let statuses: Vec<_> = futures::future::join_all(rotations).await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    sqlx::query(
        "insert into api_keys (id, tenant_id, name, hash, last_four, scopes)
         select gen_random_uuid(), id, 'n', sha256(n::text::bytea), 'last', '{read}'
         from tenants, generate_series(1, 97) n",
    )
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    let body = Some(json!({ "name": "one too many", "scopes": ["read"] }));
    let (status, refused) = ask(&admin, Method::POST, "/v1/api-keys", body.clone()).await;
    assert_eq!((status, problem(&refused), &refused["limit"]), (409, "limit-reached", &json!(100)));
    assert_eq!(ask(&admin, Method::DELETE, &format!("/v1/api-keys/{}", text(&made, "id")), None).await.0, 204);
    assert_eq!(ask(&admin, Method::POST, "/v1/api-keys", body).await.0, 201, "one that ended makes room");
}

#[tokio::test]
async fn keys_of_another_tenant_are_out_of_reach() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, mine) = stack.tenant("Fellmark").await;
    let (_, others) = stack.tenant("Elsewhere").await;
    let (made, _) = key(&mine, &["read"]).await;
    let path = format!("/v1/api-keys/{}", text(&made, "id"));
    assert_eq!(ask(&others, Method::GET, &path, None).await.0, 404);
    assert_eq!(ask(&others, Method::DELETE, &path, None).await.0, 404);
    assert_eq!(ask(&others, Method::POST, &format!("{path}/rotate"), Some(json!({}))).await.0, 404);
    let (_, list) = ask(&others, Method::GET, "/v1/api-keys", None).await;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "its own only");
    assert_eq!(stack.database.count("select count(*) from api_keys where revoked_at is not null").await, 0);
}
