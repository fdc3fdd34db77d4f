//! Secrets at rest: nothing of them can be read in the database, and their keys change while the product works.

mod channel;
mod model_key;

use std::{
    process::{Command, Output, Stdio},
    time::Duration,
};

use jobs::store::secrets::Column;
use loadtest::{
    client::{Client, Submission},
    receiver::{Receiver, Signature},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::{Stack, eventually, setting};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);
const OLD: &str = "old:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const NEW: &str = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn metachat(stack: &Stack, keys: &str, command: &str) -> Output {
    Command::new(format!("{}/metachat", setting("METACHAT_BIN_DIR")))
        .args(["secrets", command, "--json"])
        .env_clear()
        .env("DATABASE_URL", stack.database.url())
        .env("SECRETS_KEYS", keys)
        .stdin(Stdio::null())
        .output()
        .expect("metachat starts")
}

/// Values by column, key and state.
fn counts(output: &Output) -> Vec<(String, String, u64, String)> {
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = printed["data"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["column"]), text(&row["key"]), row["values"].as_u64().unwrap(), text(&row["state"])))
        .collect()
}

fn anybody() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap()
}

async fn restart(stack: &mut Stack, keys: &str) {
    stack.set_env("SECRETS_KEYS", keys);
    let api = stack.api.as_mut().unwrap().terminate(LIMIT).await;
    assert!(api.success());
    stack.start_api().await;
    let mut worker = stack.workers.remove(0);
    assert!(worker.process.terminate(LIMIT).await.success());
    stack.start_worker().await;
}

async fn submit(client: &Client, callback: &Receiver) {
    let submission = Submission { callback_url: Some(callback.url()), ..Submission::new("Is anybody there today?") };
    client.submit(&submission).await.unwrap();
}

/// The response that shows an endpoint's secret, by a request that may be repeated.
async fn created_with_a_key(stack: &Stack, key: &str) -> String {
    let request = anybody().post(format!("{}/v1/webhook-endpoints", stack.api_url)).bearer_auth(key);
    let body = json!({ "url": "http://127.0.0.1:1024/", "event_types": ["billing.payment_failed"] });
    let response = request.header("idempotency-key", "the-endpoint").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    response.text().await.unwrap()
}

/// Every table that holds one of the texts, in any column, in any form that Postgres shows.
async fn tables_that_hold(stack: &Stack, texts: &[&str]) -> Vec<String> {
    let owner = stack.database.owner().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    let mut found = Vec::new();
    for table in tables {
        for text in texts {
            // A bytea is shown in hex.
            let (plain, hex) = (format!("%{text}%"), format!("%{}%", hex::encode(text)));
            let rows: i64 =
                sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {table} t where t::text like any($1)")))
                    .bind(vec![plain, hex])
                    .fetch_one(owner)
                    .await
                    .unwrap();
            if rows > 0 {
                found.push(format!("{table} holds {text}"));
            }
        }
    }
    found
}

#[tokio::test]
async fn keys_are_rotated_while_webhooks_are_delivered_and_the_old_one_is_needed_no_more() {
    let mut stack = Stack::builder().env("SECRETS_KEYS", OLD).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (receiver, callback) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    let endpoint = client.create_endpoint(&receiver.url(), &["message.received"]).await.unwrap();
    receiver.set_secret(&endpoint.secret);
    callback.set_secret(&tenant.callback_secret);
    let shown_once = created_with_a_key(&stack, &tenant.api_key.key).await;
    // More than two pages of the walk.
    let copied = "insert into webhook_endpoints (id, tenant_id, url, event_types, secret, enabled)
        select gen_random_uuid(), tenant_id, url, event_types, secret, false from webhook_endpoints, generate_series(1, 1200)";
    sqlx::query(copied).execute(stack.database.owner().await).await.unwrap();
    // A copy is of another row and does not open: what cannot be opened is told and stops nothing.
    let status = counts(&metachat(&stack, OLD, "status"));
    let row = |column: Column, key: &str, values: u64, state: &str| {
        (column.name().to_owned(), key.to_owned(), values, state.to_owned())
    };
    assert_eq!(
        status,
        [
            row(Column::CallbackSecret, "old", 1, "current"),
            row(Column::EndpointSecret, "old", 2402, "current"),
            row(Column::SavedResponse, "old", 1, "current")
        ]
    );

    // Both keys everywhere, the new one last, then first.
    restart(&mut stack, &format!("{OLD},{NEW}")).await;
    submit(&client, &callback).await;
    let both = format!("{NEW},{OLD}");
    restart(&mut stack, &both).await;
    let mut rotation = None;
    for n in 0..10 {
        submit(&client, &callback).await;
        if n == 3 {
            let stack = &stack;
            rotation = Some(metachat(stack, &both, "rotate"));
        }
    }
    let rotation = rotation.unwrap();
    let told = String::from_utf8_lossy(&rotation.stderr).into_owned();
    assert_eq!(rotation.status.code(), Some(1), "the copies are left: {told}");
    assert!(told.contains("webhook_endpoints.secret: 1000 looked at, "), "{told}");
    assert_eq!(told.matches("webhook_endpoints.secret does not open").count(), 2400);
    let deleted = "delete from webhook_endpoints where not enabled";
    assert_eq!(sqlx::query(deleted).execute(stack.database.owner().await).await.unwrap().rows_affected(), 2400);
    let again = metachat(&stack, &both, "rotate");
    assert!(again.status.success(), "{again:?}");
    assert_eq!(
        counts(&again),
        [
            row(Column::CallbackSecret, "new", 1, "current"),
            row(Column::EndpointSecret, "new", 2, "current"),
            row(Column::SavedResponse, "new", 1, "current")
        ]
    );
    stack.idle(LIMIT).await;

    restart(&mut stack, NEW).await;
    assert_eq!(created_with_a_key(&stack, &tenant.api_key.key).await, shown_once, "the saved response was sealed anew");
    submit(&client, &callback).await;
    stack.idle(LIMIT).await;
    for receiver in [&receiver, &callback] {
        let deliveries = receiver.deliveries();
        assert!(deliveries.len() >= 12, "{}", deliveries.len());
        assert!(deliveries.iter().all(|delivery| delivery.signature == Signature::Valid));
    }
    stack.finish().await;
}

#[tokio::test]
async fn no_table_holds_a_secret_and_the_api_shows_one_once() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (receiver, callback) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    let endpoint = client.create_endpoint(&receiver.url(), &[]).await.unwrap();
    let shown: Value = serde_json::from_str(&created_with_a_key(&stack, &tenant.api_key.key).await).unwrap();
    submit(&client, &callback).await;
    receiver.wait_for(1, LIMIT).await.unwrap();
    stack.idle(LIMIT).await;
    let shown = shown["secret"].as_str().unwrap();
    let secrets = [tenant.callback_secret.as_str(), &endpoint.secret, &tenant.api_key.key, shown];
    let texts: Vec<&str> = secrets.iter().map(|secret| secret.rsplit('_').next().unwrap()).collect();
    assert_eq!(tables_that_hold(&stack, &texts).await, Vec::<String>::new());
    // The search finds what is there.
    assert!(!tables_that_hold(&stack, &[&receiver.url()]).await.is_empty());

    let mut shown = String::new();
    for path in ["/v1/webhook-endpoints", &format!("/v1/webhook-endpoints/{}", endpoint.id), "/v1/export"] {
        shown += &anybody()
            .get(format!("{}{path}", stack.api_url))
            .bearer_auth(&tenant.api_key.key)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
    }
    assert!(shown.contains(&endpoint.id));
    assert!(texts.iter().all(|secret| !shown.contains(secret)));
    for process in [stack.api.as_ref().unwrap(), &stack.workers[0].process] {
        assert!(texts.iter().all(|secret| !process.log().contains(secret)), "a log holds a secret");
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_secret_that_does_not_open_fails_its_deliveries_with_that_cause() {
    let stack = Stack::builder().env("SECRETS_KEYS", format!("{NEW},{OLD}")).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (one, two) = (Receiver::start().await.unwrap(), Receiver::start().await.unwrap());
    let types = ["message.received"];
    let first = client.create_endpoint(&one.url(), &types).await.unwrap();
    client.create_endpoint(&two.url(), &types).await.unwrap();
    let owner = stack.database.owner().await;
    let first = Uuid::parse_str(first.id.strip_prefix("whe_").unwrap()).unwrap();
    // The secret of the second endpoint, whose owner might know it, in the row of the first.
    sqlx::query(
        "update webhook_endpoints set secret = (select secret from webhook_endpoints where id <> $1) where id = $1",
    )
    .bind(first)
    .execute(owner)
    .await
    .unwrap();
    client.submit(&Submission::new("Is anybody there today?")).await.unwrap();
    two.wait_for(1, LIMIT).await.unwrap();
    let cause: String = eventually("the delivery is dead", LIMIT, async || {
        sqlx::query_scalar("select cause from dead_jobs").fetch_optional(owner).await.unwrap()
    })
    .await;
    assert_eq!(cause, "webhook_endpoints.secret does not open: it was changed, or was sealed for another place");
    assert_eq!(one.deliveries().len(), 0);

    // A key that this worker lacks may still come: the delivery is tried again.
    let unknown = [&[1, 4][..], b"gone", &[0; 60]].concat();
    sqlx::query("update webhook_endpoints set secret = $2 where id = $1")
        .bind(first)
        .bind(unknown)
        .execute(owner)
        .await
        .unwrap();
    client.submit(&Submission::new("Is anybody there tomorrow?")).await.unwrap();
    let error: Value = eventually("the failed run is told", LIMIT, async || {
        let failed = "select to_jsonb(j) from jobs j where kind = 'deliver_webhook' and attempt > 0";
        sqlx::query_scalar(failed).fetch_optional(owner).await.unwrap()
    })
    .await;
    let expected = "webhook_endpoints.secret is sealed with the key `gone`, which is not among SECRETS_KEYS";
    assert_eq!(error["last_error"], json!(expected), "{error}");
    let status = counts(&metachat(&stack, NEW, "status"));
    assert!(status.contains(&(Column::EndpointSecret.name().into(), "gone".into(), 1, "unknown".into())), "{status:?}");
}

#[tokio::test]
async fn keys_that_cannot_be_used_stop_the_start_and_are_not_shown() {
    let stack = Stack::builder().workers(0).start().await;
    let bad = "a:c2hvcnQ=,a b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    for (binary, command) in
        [("metachat-api", &["serve"][..]), ("metachat-worker", &["run"]), ("metachat", &["secrets", "rotate"])]
    {
        let output = Command::new(format!("{}/{binary}", setting("METACHAT_BIN_DIR")))
            .args(command)
            .envs(["DATABASE_URL", "REDIS_URL", "ADMIN_KEY", "LANCEDB_URI"].map(|name| (name, stack.env(name))))
            .env("SECRETS_KEYS", bad)
            .env("LOG_FORMAT", "text")
            .output()
            .unwrap();
        assert!(!output.status.success());
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            told.contains("key 1 is not the base64 of 32 bytes; the id of key 2 must have 1 to 32"),
            "{binary}: {told}"
        );
        assert!(!told.contains("c2hvcnQ") && !told.contains("AQEBAQ"), "{binary}: {told}");
    }
}
