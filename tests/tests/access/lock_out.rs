//! Guessing passwords: slow, of no use against a person who is known, and without a sign of who has an account.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tests::Stack;

use super::{Browser, PASSWORD, join, logged_in, problem};

const EMAIL: &str = "ada@example.com";

async fn guess(browser: &mut Browser, tenant: &str, email: &str) -> u16 {
    browser.log_in(tenant, email, "wrong mule battery").await.0
}

async fn forget_all(stack: &Stack) {
    sqlx::query("delete from login_attempts").execute(stack.database.owner().await).await.unwrap();
}

#[tokio::test]
async fn guesses_wait_ever_longer_and_in_vain() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    join(&stack, &tenant.id, EMAIL, "owner").await;
    let mut stranger = Browser::new(&stack);
    for _ in 0..5 {
        assert_eq!(guess(&mut stranger, &tenant.id, EMAIL).await, 401);
    }
    let wait = async |stranger: &mut Browser, password: &str| {
        let body = json!({ "tenant_id": tenant.id, "email": EMAIL, "password": password });
        let response = stranger.send(Method::POST, "/v1/session", Some(body)).await;
        let wait = response.headers().get("retry-after").map(|it| it.to_str().unwrap().parse::<u64>().unwrap());
        (response.status().as_u16(), wait)
    };
    assert_eq!(wait(&mut stranger, PASSWORD).await, (429, Some(1)), "the right one is not heard either");
    let (status, refused) = stranger.log_in(&tenant.id, EMAIL, PASSWORD).await;
    assert_eq!((status, problem(&refused)), (429, "too-many-attempts"));
    let mut waits = Vec::new();
    for _ in 0..7 {
        sqlx::query("update login_attempts set blocked_until = now()")
            .execute(stack.database.owner().await)
            .await
            .unwrap();
        assert_eq!(guess(&mut stranger, &tenant.id, EMAIL).await, 401);
        waits.push(wait(&mut stranger, PASSWORD).await.1.unwrap());
    }
    // Whole seconds, rounded up or down by what has passed.
    for (wait, expected) in waits.iter().zip([2, 4, 8, 16, 32, 60, 60]) {
        assert!((expected - 1..=expected).contains(wait), "{waits:?}");
    }
    sqlx::query("update login_attempts set blocked_until = now()").execute(stack.database.owner().await).await.unwrap();
    assert_eq!(stranger.log_in(&tenant.id, EMAIL, PASSWORD).await.0, 201, "the wait is over");
    assert_eq!(guess(&mut Browser::new(&stack), &tenant.id, EMAIL).await, 401, "and forgotten");
}

/// Counted before they are checked: guesses that arrive together do not pass together.
#[tokio::test]
async fn guesses_at_once_are_counted_one_by_one() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    join(&stack, &tenant.id, EMAIL, "owner").await;
    let statuses = join_all((0..15).map(|_| async { guess(&mut Browser::new(&stack), &tenant.id, EMAIL).await })).await;
    let heard = statuses.iter().filter(|status| **status == 401).count();
    // One more for every wait that was over before the last of them came.
    assert!((5..=8).contains(&heard), "{statuses:?}");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
}

/// However long somebody guesses, who logged in from this browser before gets in.
#[tokio::test]
async fn strangers_cannot_keep_an_owner_out() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    join(&stack, &tenant.id, EMAIL, "owner").await;
    let mut owner = logged_in(&stack, &tenant.id, EMAIL).await;
    assert_eq!(owner.ask(Method::DELETE, "/v1/session", None).await.0, 204);
    let mut stranger = Browser::new(&stack);
    while guess(&mut stranger, &tenant.id, EMAIL).await != 429 {}
    assert_eq!(stranger.log_in(&tenant.id, EMAIL, PASSWORD).await.0, 429);
    assert_eq!(owner.log_in(&tenant.id, EMAIL, PASSWORD).await.0, 201);
    assert_eq!(stranger.log_in(&tenant.id, EMAIL, PASSWORD).await.0, 429, "and lets no stranger in by it");

    // A device is counted by itself, and known to its own account only.
    for _ in 0..5 {
        assert_eq!(guess(&mut owner, &tenant.id, EMAIL).await, 401);
    }
    assert_eq!(owner.log_in(&tenant.id, EMAIL, PASSWORD).await.0, 429);
    forget_all(&stack).await;
    join(&stack, &tenant.id, "bob@example.com", "member").await;
    while guess(&mut stranger, &tenant.id, "bob@example.com").await != 429 {}
    assert_eq!(
        owner.log_in(&tenant.id, "bob@example.com", PASSWORD).await.0,
        429,
        "of another account it is a stranger"
    );
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_slowed_down() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let mut stranger = Browser::new(&stack);
    for n in 0..20 {
        assert_eq!(guess(&mut stranger, &tenant.id, &format!("a{n}@example.com")).await, 401, "{n}");
    }
    assert_eq!(guess(&mut stranger, &tenant.id, "b@example.com").await, 429);
    let counted = "select count(*) from login_attempts where attempts > 0";
    assert_eq!(stack.database.count(counted).await, 21, "a refused attempt is put on nobody's account");
}

#[tokio::test]
async fn an_unknown_email_and_a_wrong_password_look_and_last_the_same() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    join(&stack, &tenant.id, EMAIL, "owner").await;
    let nowhere = "tnt_01983f2ab3c47d1e9f00a1b2c3d4e5f6";
    let cases = [(tenant.id.as_str(), EMAIL), (tenant.id.as_str(), "nobody@example.com"), (nowhere, EMAIL)];
    let mut fastest = [Duration::MAX; 3];
    let mut unhashed = Duration::MAX;
    let mut answers = Vec::new();
    for _ in 0..12 {
        for (fastest, (tenant, email)) in fastest.iter_mut().zip(cases) {
            forget_all(&stack).await;
            let started = Instant::now();
            let (status, mut answer) = Browser::new(&stack).log_in(tenant, email, "wrong mule battery").await;
            *fastest = started.elapsed().min(*fastest);
            answer.as_object_mut().unwrap().remove("request_id");
            answers.push((status, answer));
        }
        let block = "update login_attempts set blocked_until = now() + interval '1 minute'";
        sqlx::query(block).execute(stack.database.owner().await).await.unwrap();
        let started = Instant::now();
        assert_eq!(guess(&mut Browser::new(&stack), nowhere, EMAIL).await, 429);
        unhashed = started.elapsed().min(unhashed);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // What an attempt costs beyond one that is refused unheard: the password's hash, for all the same.
    let costs = fastest.map(|fastest| fastest.saturating_sub(unhashed));
    for cost in costs {
        assert!(cost > costs[0] / 2 && cost < costs[0] * 2, "{fastest:?} {unhashed:?}");
    }
    // An account that does not exist is slowed down as one that does.
    for email in [EMAIL, "nobody@example.com"] {
        forget_all(&stack).await;
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(guess(&mut Browser::new(&stack), &tenant.id, email).await);
        }
        assert_eq!(statuses, [401, 401, 401, 401, 401, 429], "{email}");
    }
}
