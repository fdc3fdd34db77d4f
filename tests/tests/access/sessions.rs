//! People's log-ins: what their cookie opens, until when, and who can send it along.

use std::time::Duration;

use loadtest::client::Client;
use reqwest::{Method, header};
use serde_json::{Value, json};
use tests::Stack;

use super::{Browser, PASSWORD, accept, ask, join, logged_in, person, problem, text};

const COOKIE: &str = "metachat_session";

async fn run(stack: &Stack, statement: &'static str) {
    sqlx::query(statement).execute(stack.database.owner().await).await.unwrap();
}

#[tokio::test]
async fn a_session_opens_what_the_role_allows() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (id, mut owner) = person(&stack, &tenant.id, "Ada@Example.com", "owner").await;
    let (status, who) = owner.get("/v1/session").await;
    assert_eq!((status, &who["user"]["id"], &who["scopes"]), (200, &json!(id), &json!(["admin"])), "{who}");
    assert_eq!((&who["user"]["email"], &who["tenant_id"]), (&json!("ada@example.com"), &json!(tenant.id)));
    assert_eq!(who["csrf_token"].as_str(), owner.csrf.as_deref());
    assert_eq!(owner.get("/v1/usage").await.0, 200);
    assert_eq!(owner.ask(Method::POST, "/v1/messages", Some(json!({ "text": "Hello?" }))).await.0, 202);
    assert_eq!(owner.get("/v1/audit-log").await.0, 200);

    let (_, mut member) = person(&stack, &tenant.id, "bob@example.com", "member").await;
    assert_eq!(member.ask(Method::POST, "/v1/messages", Some(json!({ "text": "Hello?" }))).await.0, 202);
    let (status, refused) = member.get("/v1/api-keys").await;
    assert_eq!((status, problem(&refused), &refused["scope"]), (403, "insufficient-scope", &json!("admin")));
    assert_eq!(member.ask(Method::POST, "/v1/webhook-endpoints", Some(json!({}))).await.0, 403);
    run(&stack, "delete from jobs").await;
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_kept_as_a_hash() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    join(&stack, &tenant.id, "ada@example.com", "owner").await;
    let body = json!({ "tenant_id": tenant.id, "email": "ada@example.com", "password": PASSWORD });
    let mut browser = Browser::new(&stack);
    let response = browser.send(Method::POST, "/v1/session", Some(body)).await;
    let cookies = response.headers().get_all(header::SET_COOKIE).iter().map(|it| it.to_str().unwrap().to_owned());
    let cookies: Vec<_> = cookies.collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        assert!(cookie.contains("; Path=/; HttpOnly; SameSite=Lax; Max-Age="), "{cookie}");
    }
    let token = &browser.cookies[COOKIE];
    let stored = "select count(*) from sessions s where s::text like '%' || $1 || '%'";
    let stored = sqlx::query_scalar::<_, i64>(stored).bind(token).fetch_one(stack.database.owner().await).await;
    assert_eq!(stored.unwrap(), 0);
    let hashed = "select count(*) from sessions where token_hash = sha256($1::bytea)";
    let hashed = sqlx::query_scalar::<_, i64>(hashed).bind(token.as_bytes());
    assert_eq!(hashed.fetch_one(stack.database.owner().await).await.unwrap(), 1);

    let secure = Stack::builder().workers(0).env("COOKIE_SECURE", "true").start().await;
    let (tenant, _) = secure.tenant("Fellmark").await;
    join(&secure, &tenant.id, "ada@example.com", "owner").await;
    let mut browser = logged_in(&secure, &tenant.id, "ada@example.com").await;
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-metachat_device", "__Host-metachat_session"]);
    assert_eq!(browser.get("/v1/session").await.0, 200);
    let token = browser.cookies["__Host-metachat_session"].clone();
    browser.cookies = [(COOKIE.to_owned(), token)].into();
    assert_eq!(browser.get("/v1/session").await.0, 401, "a cookie that http could have set is not taken");
}

#[tokio::test]
async fn a_session_that_ended_is_over_at_once_and_everywhere() {
    let stack = Stack::builder().workers(0).start().await;
    let (_replica, replica_url) = stack.replica().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut browser) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut replayed = browser.moved_to(&replica_url);
    assert_eq!(replayed.get("/v1/usage").await.0, 200);
    assert_eq!(browser.ask(Method::DELETE, "/v1/session", None).await.0, 204);
    assert!(!browser.cookies.contains_key(COOKIE));
    assert_eq!(replayed.get("/v1/usage").await.0, 401, "logged out");

    // Idle, past its life, of a disabled person, of a disabled tenant.
    let states = [
        ("update sessions set last_used_at = now() - interval '2 hours 1 minute'", 401),
        ("update sessions set expires_at = now()", 401),
        ("update users set enabled = false", 401),
        ("update users set enabled = true; update tenants set enabled = false", 403),
    ];
    for (statement, expected) in states {
        if expected == 401 {
            run(&stack, "update users set enabled = true").await;
        }
        let mut browser = logged_in(&stack, &tenant.id, "ada@example.com").await;
        assert_eq!(browser.get("/v1/usage").await.0, 200, "before: {statement}");
        for statement in statement.split(';') {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(stack.database.owner().await).await.unwrap();
        }
        assert_eq!(browser.get("/v1/usage").await.0, expected, "{statement}");
        run(&stack, "update users set enabled = true").await;
    }
    let body = json!({ "tenant_id": tenant.id, "email": "ada@example.com", "password": PASSWORD });
    let (status, refused) = Browser::new(&stack).ask(Method::POST, "/v1/session", Some(body)).await;
    assert_eq!((status, problem(&refused)), (403, "tenant-disabled"));
}

/// A stream that is open when its credential ends does not go on until it ends by itself.
#[tokio::test]
async fn an_open_stream_ends_with_its_credential() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, mut browser) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let (made, holder) = super::key(&client, &["read"]).await;
    let sent = client.call(Method::POST, "/v1/messages", Some(&json!({ "text": "Hello?" }))).await.unwrap();
    let path = format!("/v1/messages/{}/stream", text(&sent.body, "id"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let by_key = async |key: &str| {
        http.get(format!("{}{path}", stack.api_url)).bearer_auth(key).send().await.unwrap().error_for_status().unwrap()
    };
    let mut streams = [by_key(holder.key()).await, browser.send(Method::GET, &path, None).await];
    let mut kept = by_key(client.key()).await;
    assert_eq!(ask(&client, Method::DELETE, &format!("/v1/api-keys/{}", text(&made, "id")), None).await.0, 204);
    assert_eq!(browser.ask(Method::DELETE, "/v1/session", None).await.0, 204);
    for stream in &mut streams {
        let ended = async { while stream.chunk().await.unwrap().is_some() {} };
        tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the stream ends");
    }
    let ended = async { while kept.chunk().await.unwrap().is_some() {} };
    assert!(tokio::time::timeout(Duration::from_secs(7), ended).await.is_err(), "another's goes on");
    run(&stack, "delete from jobs").await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_by_whom_they_belong_to() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut here) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut there = logged_in(&stack, &tenant.id, "ada@example.com").await;
    let (_, mut other) = person(&stack, &tenant.id, "bob@example.com", "owner").await;
    let ids = |list: &Value| list["data"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    let (_, list) = here.get("/v1/sessions").await;
    let mine =
        [there.get("/v1/session").await.1["session_id"].clone(), here.get("/v1/session").await.1["session_id"].clone()];
    assert_eq!(ids(&list), mine, "the newest first, and nobody else's");
    let path = format!("/v1/sessions/{}", mine[0].as_str().unwrap());
    assert_eq!(other.ask(Method::DELETE, &path, None).await.0, 404);
    assert_eq!(there.get("/v1/usage").await.0, 200);
    assert_eq!(here.ask(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(there.get("/v1/usage").await.0, 401);
    assert_eq!(here.ask(Method::DELETE, &path, None).await.0, 404, "again");
    assert_eq!(ids(&here.get("/v1/sessions").await.1), mine[1..]);
}

#[tokio::test]
async fn a_further_session_than_the_twentieth_ends_the_oldest() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut oldest) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut second = logged_in(&stack, &tenant.id, "ada@example.com").await;
    for _ in 2..20 {
        logged_in(&stack, &tenant.id, "ada@example.com").await;
    }
    assert_eq!((oldest.get("/v1/usage").await.0, second.get("/v1/usage").await.0), (200, 200));
    logged_in(&stack, &tenant.id, "ada@example.com").await;
    assert_eq!((oldest.get("/v1/usage").await.0, second.get("/v1/usage").await.0), (401, 200));
}

#[tokio::test]
async fn a_changed_password_ends_every_session() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut here) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut there = logged_in(&stack, &tenant.id, "ada@example.com").await;
    let replayed = here.cookies.clone();
    let change = |current: &str, new: &str| Some(json!({ "current_password": current, "new_password": new }));
    let path = "/v1/session/password";
    let (status, refused) = here.ask(Method::POST, path, change("wrong mule battery", "another password")).await;
    assert_eq!((status, problem(&refused)), (401, "bad-credentials"));
    for weak in ["short", "ada@example.com!"] {
        let (status, refused) = here.ask(Method::POST, path, change(PASSWORD, weak)).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!("new_password")));
    }
    assert_eq!(there.get("/v1/usage").await.0, 200, "nothing has changed");
    assert_eq!(here.ask(Method::POST, path, change(PASSWORD, "another password")).await.0, 204);
    here.cookies = replayed;
    assert_eq!((here.get("/v1/usage").await.0, there.get("/v1/usage").await.0), (401, 401));
    assert_eq!(Browser::new(&stack).log_in(&tenant.id, "ada@example.com", PASSWORD).await.0, 401);
    assert_eq!(Browser::new(&stack).log_in(&tenant.id, "ada@example.com", "another password").await.0, 201);
}

/// A password that changes while it is being checked lets nobody in.
#[tokio::test]
async fn a_log_in_does_not_pass_by_a_change_of_the_password() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut here) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let change = json!({ "current_password": PASSWORD, "new_password": "another password" });
    let log_ins = (0..4).map(|_| async {
        let mut browser = Browser::new(&stack);
        let (status, _) = browser.log_in(&tenant.id, "ada@example.com", PASSWORD).await;
        (status, browser)
    });
    let (changed, log_ins) =
        tokio::join!(here.ask(Method::POST, "/v1/session/password", Some(change)), futures::future::join_all(log_ins));
    assert_eq!(changed.0, 204);
    for (status, mut browser) in log_ins {
        assert!([201, 401].contains(&status), "{status}");
        assert_eq!(browser.get("/v1/usage").await.0, 401, "logged in with {status}");
    }
    assert_eq!(stack.database.count("select count(*) from sessions where ended_at is null").await, 0);
}

#[tokio::test]
async fn a_changing_request_needs_the_sessions_own_token_and_origin() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut browser) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let (_, other) = person(&stack, &tenant.id, "bob@example.com", "owner").await;
    let body = || Some(json!({ "name": "n", "scopes": ["read"] }));
    let own = browser.csrf.clone();
    let host = stack.api_url.strip_prefix("http://").unwrap();
    let (here, elsewhere) = (Some(format!("http://{host}")), Some("https://evil.example".to_owned()));
    for (csrf, origin, expected) in [
        (None, None, 403),
        (Some(String::new()), None, 403),
        (other.csrf, None, 403),
        (own.clone(), elsewhere.clone(), 403),
        (own.clone(), Some("null".to_owned()), 403),
        (own.clone(), here, 201),
        (own.clone(), None, 201),
    ] {
        (browser.csrf, browser.origin) = (csrf, origin);
        let (status, answer) = browser.ask(Method::POST, "/v1/api-keys", body()).await;
        assert_eq!(status, expected, "{:?} {:?}", browser.csrf, browser.origin);
        assert!(status == 201 || problem(&answer) == "csrf", "{answer}");
    }
    (browser.csrf, browser.origin) = (None, elsewhere.clone());
    assert_eq!(browser.ask(Method::DELETE, "/v1/session", None).await.0, 403);
    assert_eq!(browser.get("/v1/usage").await.0, 200, "reading changes nothing");
    assert_eq!(stack.database.count("select count(*) from api_keys").await, 3);

    let mut stranger = Browser::new(&stack);
    stranger.origin = elsewhere;
    let (status, refused) = stranger.log_in(&tenant.id, "ada@example.com", PASSWORD).await;
    assert_eq!((status, problem(&refused)), (403, "csrf"), "another site logs nobody in");
}

/// A key that opens nothing is not made up for by a cookie.
#[tokio::test]
async fn one_credential_counts_and_one_tenant_is_seen() {
    let stack = Stack::builder().workers(0).start().await;
    let (mine, _) = stack.tenant("Fellmark").await;
    let (others, others_key) = stack.tenant("Elsewhere").await;
    let (_, mut browser) = person(&stack, &mine.id, "ada@example.com", "owner").await;
    let theirs = join(&stack, &others.id, "ada@example.com", "owner").await;
    let (status, list) = browser.get("/v1/users").await;
    assert_eq!((status, list["data"].as_array().map(Vec::len)), (200, Some(1)), "{list}");
    let user = format!("/v1/users/{theirs}");
    assert_eq!(browser.get(&user).await.0, 404);
    assert_eq!(browser.ask(Method::PATCH, &user, Some(json!({ "enabled": false }))).await.0, 404);
    assert_eq!(browser.ask(Method::DELETE, &user, None).await.0, 404);
    assert_eq!(browser.ask(Method::POST, &format!("{user}/invitation"), None).await.0, 404);
    let sent = others_key.call(Method::POST, "/v1/messages", Some(&json!({ "text": "Hello?" }))).await.unwrap();
    let message = format!("/v1/messages/{}", text(&sent.body, "id"));
    assert_eq!(browser.get(&message).await.0, 404);
    assert_eq!(Browser::new(&stack).log_in(&others.id, "bob@example.com", PASSWORD).await.0, 401);

    let cookie = format!("{COOKIE}={}", browser.cookies[COOKIE]);
    let both = async |key: &str| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.get(format!("{}/v1/tenant", stack.api_url)).header(header::COOKIE, &cookie);
        let response = request.header(header::AUTHORIZATION, key).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap()["name"].clone())
    };
    assert_eq!(both(&format!("Bearer {}", others_key.key())).await, (200, json!("Elsewhere")), "the key");
    assert_eq!(both("Bearer mk_live_nonsense").await.0, 401);
    assert_eq!(both("Basic bWU6bWU=").await.0, 401);
    run(&stack, "delete from jobs").await;
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_in_time() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, key) = stack.tenant("Fellmark").await;
    let body = json!({ "email": "bob@example.com", "name": "Bob", "role": "member" });
    let (status, invited) = ask(&key, Method::POST, "/v1/users", Some(body)).await;
    assert_eq!((status, &invited["joined"]), (201, &json!(false)), "{invited}");
    assert_eq!(Browser::new(&stack).log_in(&tenant.id, "bob@example.com", PASSWORD).await.0, 401, "not yet");
    let token = text(&invited["invitation"], "token");
    let refused = async |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        Browser::new(&stack).ask(Method::POST, "/v1/invitations/accept", Some(body)).await.0
    };
    assert_eq!(refused(token, "short").await, 422);
    accept(&stack, token, PASSWORD).await;
    assert_eq!(refused(token, "another password").await, 404, "once");
    let mut browser = logged_in(&stack, &tenant.id, "bob@example.com").await;

    // A lost password: the new token ends what the old one opened.
    let renew = format!("/v1/users/{}/invitation", text(&invited, "id"));
    let (status, void) = ask(&key, Method::POST, &renew, None).await;
    assert_eq!(status, 201, "{void}");
    let (_, renewed) = ask(&key, Method::POST, &renew, None).await;
    assert_eq!(refused(text(&void, "token"), "another password").await, 404, "a newer one was made");
    assert_eq!(browser.get("/v1/usage").await.0, 200, "until it is used");
    accept(&stack, text(&renewed, "token"), "another password").await;
    assert_eq!(browser.get("/v1/usage").await.0, 401);
    assert_eq!(Browser::new(&stack).log_in(&tenant.id, "bob@example.com", PASSWORD).await.0, 401);

    let (_, late) = ask(&key, Method::POST, &renew, None).await;
    run(&stack, "update users set invitation_expires_at = now() where invitation_hash is not null").await;
    assert_eq!(refused(text(&late, "token"), "another password").await, 404, "late");
    let anonymous = Client::new(&stack.api_url, "mk_invite_nonsense").unwrap();
    assert_eq!(ask(&anonymous, Method::GET, "/v1/usage", None).await.0, 401, "no credential of its own");
}
