use loadtest::{
    client::Search,
    fake_model::{Config, FakeModel},
    receiver::Receiver,
};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_tenant_goes_with_all_it_owns_and_nobody_else_is_touched() {
    let mut stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, neighbour) = stack.tenant("Next door").await;
    let receiver = Receiver::start().await.unwrap();
    for client in [&client, &neighbour] {
        upload(client, "tents.md", "# Tents\n\nThe tent is waterproof up to 5000 mm.").await;
        let endpoint = client.create_endpoint(&receiver.url(), &["message.sent"]).await.unwrap();
        receiver.set_secret(&endpoint.secret);
        let once = Some("once".to_owned());
        ask(client, Submission { idempotency_key: once, ..Submission::new("How waterproof is the tent?") }).await;
        ask(client, Submission::new("May I speak to a human being please?")).await;
        client.search(&Search { query: "tent".into(), ..Search::default() }).await.unwrap();
    }
    stack.idle(LIMIT).await;
    // The request log and the month's calls are written in batches, the last of them as the api ends.
    assert!(stack.api.as_mut().unwrap().terminate(LIMIT).await.success());
    stack.start_api().await;
    let owner = stack.database.owner().await;
    let (gone, kept) = (tenant_id(&tenant.id), tenant_id(&other.id));
    for id in [gone, kept] {
        for statement in [
            "insert into stripe_events (id, type, payload, tenant_id) values ($1::text, 't', '{}', $1)",
            "insert into api_logs (id, created_at, tenant_id, api_key_id, request_id, method, route, status, duration_us)
               select gen_random_uuid(), now(), $1, gen_random_uuid(), 'r', 'GET', '/', 200, 1 from generate_series(1, 1200)",
            "insert into dead_jobs (id, tenant_id, kind, key, payload, priority, attempt, cause, created_at)
               values ($1, $1, 'complete', 'k', '{}', 5, 1, 'c', now())",
        ] {
            sqlx::query(statement).bind(id.uuid()).execute(owner).await.unwrap();
        }
    }
    let kept_rows = rows_of(owner, kept.uuid()).await;
    assert!(kept_rows.iter().filter(|(_, rows)| *rows > 0).count() >= 16, "{kept_rows:?}");
    assert!(vectors(&stack, gone).await > 0 && hits(&stack, kept, "tent").await > 0);

    let id = erase(&stack.admin(), &format!("/v1/tenants/{}", tenant.id)).await;
    let refused = client.call(Method::GET, "/v1/usage", None).await.unwrap_err();
    assert!(matches!(refused.status(), Some(401 | 403)), "{refused}");
    let receipt = finished(&stack.admin(), &id).await;
    assert_eq!((&receipt["scope"], &receipt["subject"]), (&json!("tenant"), &json!(tenant.id)));
    assert_eq!(receipt["requested_by"], "operator");
    for name in ["tenants", "api_keys", "messages", "documents", "webhook_endpoints", "stripe_events", "vectors"] {
        assert!(receipt["removed"][name].as_i64().unwrap_or_default() > 0, "{name}: {receipt}");
    }
    assert_eq!(receipt["proof"]["vectors"], json!({ "rows": 0, "vector_hits": 0, "text_hits": 0 }));
    // Each table that could hold a tenant's rows was looked at, whenever it was made.
    let looked = receipt["proof"]["rows"].as_object().unwrap();
    for (table, _) in kept_rows.iter().filter(|(table, _)| !["api_logs", "erasures"].contains(&table.as_str())) {
        assert!(looked.contains_key(table), "{table} was not looked at");
    }

    stack.idle(LIMIT).await;
    let left: Vec<_> = rows_of(owner, gone.uuid()).await.into_iter().filter(|(_, rows)| *rows > 0).collect();
    assert_eq!(left, [("erasures".to_owned(), 1)], "the receipt alone");
    assert_eq!(rows_of(owner, kept.uuid()).await, kept_rows);
    let nameless = "select count(*) from api_logs where tenant_id is null and api_key_id is null and request_id = 'r'";
    assert_eq!(stack.database.count(nameless).await, 1200, "requests stay, without a name");
    assert_eq!((vectors(&stack, gone).await, hits(&stack, gone, "tent waterproof").await), (0, 0));
    assert!(vectors(&stack, kept).await > 0 && hits(&stack, kept, "tent waterproof").await > 0);
    let tables = std::fs::read_dir(stack.env("LANCEDB_URI")).unwrap();
    let theirs = |name: &str| name.starts_with(&gone.uuid().simple().to_string());
    assert!(!tables.into_iter().any(|entry| theirs(entry.unwrap().file_name().to_str().unwrap())), "no folder is left");

    eventually("its key is nobody's", LIMIT, async || {
        let refused = client.call(Method::GET, "/v1/usage", None).await.unwrap_err();
        (refused.status() == Some(401)).then_some(())
    })
    .await;
    let again = stack.admin().call(Method::DELETE, &format!("/v1/tenants/{}", tenant.id), None).await;
    assert_eq!(again.unwrap_err().status(), Some(404));
    assert_eq!(super::receipt(&stack.admin(), &id).await, receipt);
    assert!(neighbour.call(Method::DELETE, &format!("/v1/tenants/{}", other.id), None).await.is_err());
    sqlx::query("delete from dead_jobs").execute(owner).await.unwrap();
    stack.finish().await;
}

/// Another replica has closed the tenant a moment ago, and this one still believes that its key opens it.
#[tokio::test]
async fn new_work_is_refused_from_the_first_moment_whatever_is_cached() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let close = "update tenants set erasing = $2 where id = $1";
    let uuid = tenant_id(&tenant.id).uuid();
    let owner = stack.database.owner().await;
    let work = [
        ("/v1/messages", json!({ "text": "Is anybody there?" })),
        ("/v1/documents", json!({ "name": "a.md", "content_type": "text/markdown", "text": "Words." })),
        ("/v1/search", json!({ "query": "words" })),
    ];
    for (path, body) in &work {
        sqlx::query(close).bind(uuid).bind(false).execute(owner).await.unwrap();
        // The cache believes an answer for a second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        client.call(Method::GET, "/v1/usage", None).await.unwrap();
        sqlx::query(close).bind(uuid).bind(true).execute(owner).await.unwrap();
        let refused = client.call(Method::POST, path, Some(body)).await.unwrap_err();
        assert_eq!(refused.status(), Some(403), "{path}: {refused}");
    }
    for table in ["messages", "conversations", "documents", "searches", "jobs", "usage_months", "events"] {
        let count = format!("select count(*) from {table} where tenant_id = $1");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(count)).bind(uuid).fetch_one(owner).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let id = erase(&stack.admin(), &format!("/v1/tenants/{}", tenant.id)).await;
    assert_eq!(erase(&stack.admin(), &format!("/v1/tenants/{}", tenant.id)).await, id, "asked twice, it is one");
    let refused = client.call(Method::GET, "/v1/usage", None).await.unwrap_err();
    assert_eq!(refused.status(), Some(403), "this replica forgets what it knew");
    sqlx::query("delete from jobs").execute(owner).await.unwrap();
    stack.finish().await;
}

#[tokio::test]
async fn a_tenant_is_erased_under_its_running_jobs_and_across_a_crash() {
    let slow = Config { latency: Duration::from_secs(2), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let mut stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let gone = tenant_id(&tenant.id);
    upload(&client, "tents.md", "# Tents\n\nThe tent is waterproof up to 5000 mm.").await;
    for _ in 0..5 {
        client.submit(&Submission::new("How waterproof is the tent?")).await.unwrap();
    }
    let large: String =
        (0..400).map(|n| format!("## Part {n}\n\nPart {n} of the tent weighs {n} grams.\n\n")).collect();
    let (name, content_type) = ("parts.md".to_owned(), "text/markdown".to_owned());
    client.upload_text(&TextUpload { name, content_type, text: large, ..TextUpload::default() }).await.unwrap();
    sqlx::query(
        "insert into idempotency_keys (id, tenant_id, audience, key, fingerprint, status, response)
         select gen_random_uuid(), $1, 'tenant', n::text, '', 202, '{}' from generate_series(1, 30000) n",
    )
    .bind(gone.uuid())
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    eventually("the model is asked", LIMIT, async || (!model.requests().is_empty()).then_some(())).await;

    let id = erase(&stack.admin(), &format!("/v1/tenants/{}", tenant.id)).await;
    eventually("some rows are removed", LIMIT, async || {
        let receipt = receipt(&stack.admin(), &id).await;
        (receipt["removed"]["idempotency_keys"].as_i64()? > 0).then_some(())
    })
    .await;
    stack.workers.pop().unwrap().process.kill();
    stack.start_worker().await;
    let receipt = finished(&stack.admin(), &id).await;
    assert_eq!(receipt["removed"]["idempotency_keys"], 30_000);
    stack.idle(LIMIT).await;
    let left: Vec<_> =
        rows_of(stack.database.owner().await, gone.uuid()).await.into_iter().filter(|(_, rows)| *rows > 0).collect();
    assert_eq!(left, [("erasures".to_owned(), 1)]);
    assert_eq!(vectors(&stack, gone).await, 0);
    stack.finish().await;
}
