//! A tenant's team: who may change it, how large it is, and that an owner remains.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Stack, eventually};

use super::{Browser, ask, join, person, problem, text};

async fn change(browser: &mut Browser, user: &str, change: Value) -> (u16, Value) {
    browser.ask(Method::PATCH, &format!("/v1/users/{user}"), Some(change)).await
}

#[tokio::test]
async fn only_owners_decide_about_owners() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, key) = stack.tenant("Fellmark").await;
    let (owner_id, mut owner) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let (admin_id, mut admin) = person(&stack, &tenant.id, "bob@example.com", "admin").await;
    let owner_path = format!("/v1/users/{owner_id}");
    let new = |email: &str, role: &str| Some(json!({ "email": email, "name": "n", "role": role }));
    let refusals = [
        admin.ask(Method::POST, "/v1/users", new("c@example.com", "owner")).await,
        change(&mut admin, &admin_id, json!({ "role": "owner" })).await,
        change(&mut admin, &owner_id, json!({ "role": "member" })).await,
        change(&mut admin, &owner_id, json!({ "name": "Eve" })).await,
        admin.ask(Method::DELETE, &owner_path, None).await,
        admin.ask(Method::POST, &format!("{owner_path}/invitation"), None).await,
        ask(&key, Method::POST, "/v1/users", new("c@example.com", "owner")).await,
        ask(&key, Method::DELETE, &owner_path, None).await,
        ask(&key, Method::POST, &format!("{owner_path}/invitation"), None).await,
    ];
    for (at, (status, refused)) in refusals.iter().enumerate() {
        assert_eq!((*status, problem(refused)), (403, "owner-required"), "{at}: {refused}");
    }
    assert_eq!(stack.database.count("select count(*) from users where role = 'owner' and enabled").await, 1);
    let (status, made) = admin.ask(Method::POST, "/v1/users", new("c@example.com", "member")).await;
    assert_eq!(status, 201, "{made}");
    let (status, changed) = change(&mut admin, text(&made, "id"), json!({ "role": "admin", "name": "Cleo" })).await;
    assert_eq!((status, &changed["role"], &changed["name"]), (200, &json!("admin"), &json!("Cleo")));
    assert_eq!(owner.ask(Method::POST, "/v1/users", new("d@example.com", "owner")).await.0, 201);
    assert_eq!(change(&mut owner, &admin_id, json!({ "role": "owner" })).await.0, 200);
    assert_eq!(change(&mut admin, &owner_id, json!({ "role": "member" })).await.0, 200, "an owner by now");
    assert_eq!(owner.get("/v1/users").await.0, 403, "at once");
}

#[tokio::test]
async fn a_user_who_is_disabled_or_removed_is_out_at_once() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (_, mut owner) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let (bob, mut browser) = person(&stack, &tenant.id, "bob@example.com", "member").await;
    assert_eq!(change(&mut owner, &bob, json!({ "enabled": false })).await.0, 200);
    assert_eq!(browser.get("/v1/usage").await.0, 401);
    assert_eq!(browser.log_in(&tenant.id, "bob@example.com", super::PASSWORD).await.0, 401);
    assert_eq!(change(&mut owner, &bob, json!({ "enabled": true })).await.0, 200);
    assert_eq!(browser.get("/v1/usage").await.0, 401, "sessions from before stay ended");
    assert_eq!(browser.log_in(&tenant.id, "bob@example.com", super::PASSWORD).await.0, 201);
    assert_eq!(owner.ask(Method::DELETE, &format!("/v1/users/{bob}"), None).await.0, 204);
    assert_eq!(browser.get("/v1/usage").await.0, 401);
    assert_eq!(owner.get(&format!("/v1/users/{bob}")).await.0, 404);
}

#[tokio::test]
async fn one_owner_who_can_log_in_remains() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let (ada, mut owner) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    // Invited, and never joined: nobody could log in as this one.
    let invited = json!({ "email": "ghost@example.com", "name": "n", "role": "owner" });
    assert_eq!(owner.ask(Method::POST, "/v1/users", Some(invited)).await.0, 201);
    let refusals = [
        change(&mut owner, &ada, json!({ "role": "admin" })).await,
        change(&mut owner, &ada, json!({ "enabled": false })).await,
        owner.ask(Method::DELETE, &format!("/v1/users/{ada}"), None).await,
    ];
    for (status, refused) in &refusals {
        assert_eq!((*status, problem(refused)), (409, "last-owner"), "{refused}");
    }
    assert_eq!(owner.get("/v1/users").await.0, 200);
    join(&stack, &tenant.id, "bob@example.com", "owner").await;
    assert_eq!(change(&mut owner, &ada, json!({ "role": "admin" })).await.0, 200);
}

/// All owners leave at the same moment; one cannot. Their rows are held until all have looked whether others remain.
#[tokio::test]
async fn of_owners_who_leave_at_once_one_stays() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let mut owners = Vec::new();
    for n in 0..4 {
        owners.push(person(&stack, &tenant.id, &format!("o{n}@example.com"), "owner").await);
    }
    let mut held = stack.database.owner().await.begin().await.unwrap();
    sqlx::query("select id from users for update").execute(&mut *held).await.unwrap();
    let leaving = owners.iter_mut().enumerate().map(|(n, (id, browser))| async move {
        match n % 3 {
            0 => change(browser, id, json!({ "role": "member" })).await.0,
            1 => change(browser, id, json!({ "enabled": false })).await.0,
            _ => browser.ask(Method::DELETE, &format!("/v1/users/{id}"), None).await.0,
        }
    });
    let released = async {
        let waiting =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("all wait", Duration::from_secs(10), async || {
            (stack.database.count(waiting).await == 4).then_some(())
        })
        .await;
        held.rollback().await.unwrap();
    };
    let (statuses, ()) = tokio::join!(join_all(leaving), released);
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 1, "{statuses:?}");
    let left = "select count(*) from users where role = 'owner' and enabled";
    assert_eq!(stack.database.count(left).await, 1, "{statuses:?}");
}

#[tokio::test]
async fn the_plans_team_is_not_overrun() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, key) =
        stack.tenant_with(loadtest::client::NewTenant { name: "Small".into(), ..Default::default() }).await;
    join(&stack, &tenant.id, "ada@example.com", "owner").await;
    let invite = async |n: usize| {
        let body = json!({ "email": format!("u{n}@example.com"), "name": "n", "role": "member" });
        ask(&key, Method::POST, "/v1/users", Some(body)).await
    };
    let (status, refused) = invite(0).await;
    assert_eq!((status, problem(&refused)), (402, "plan-limit"), "{refused}");
    assert_eq!((&refused["meter"], &refused["limit"], &refused["current"]), (&json!("team"), &json!(1), &json!(1)));
    let path = format!("/v1/tenants/{}", tenant.id);
    let (status, _) = ask(&stack.admin(), Method::PATCH, &path, Some(json!({ "limits": { "team": 4 } }))).await;
    assert_eq!(status, 200);
    let statuses: Vec<_> = join_all((0..8).map(invite)).await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 3, "{statuses:?}");
    assert_eq!(stack.database.count("select count(*) from users").await, 4);
    let again = json!({ "email": "ADA@example.com", "name": "n", "role": "member" });
    let (_, _) = ask(&stack.admin(), Method::PATCH, &path, Some(json!({ "plan": "pro", "limits": {} }))).await;
    let (status, refused) = ask(&key, Method::POST, "/v1/users", Some(again)).await;
    assert_eq!((status, problem(&refused)), (409, "email-taken"));
    for (body, field) in [
        (json!({ "email": "nobody", "name": "n", "role": "member" }), "email"),
        (json!({ "email": "a@b", "name": "", "role": "member" }), "name"),
        (json!({ "email": "a@b", "name": "n", "role": "king" }), "role"),
    ] {
        let (status, refused) = ask(&key, Method::POST, "/v1/users", Some(body)).await;
        assert_eq!((status, &refused["errors"][0]["field"]), (422, &json!(field)), "{refused}");
    }
}
