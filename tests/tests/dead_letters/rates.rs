//! Replays by filter, with a real api and real workers.

use tests::eventually;

use super::*;

const REPLAYS: &str = "/v1/jobs/dead/replays";

async fn start(client: &Client, body: Value) -> String {
    let replay = post(client, REPLAYS, body).await;
    assert_eq!(replay["state"], "running", "{replay}");
    format!("{REPLAYS}/{}", replay["id"].as_str().unwrap())
}

/// Waits until a replay is over; checks its arithmetic all the while.
async fn over(client: &Client, path: &str) -> Value {
    let mut before = 0;
    eventually("the replay is over", LIMIT, async || {
        let replay = get(client, path).await;
        let number = |name: &str| replay[name].as_i64().unwrap();
        assert_eq!(number("matched"), number("replayed") + number("skipped") + number("remaining"), "{replay}");
        assert!(number("replayed") >= before, "{replay}");
        before = number("replayed");
        (replay["state"] != "running").then_some(replay)
    })
    .await
}

/// When jobs were brought back, in order.
async fn revivals(stack: &Stack, kind: &str) -> Vec<DateTime<Utc>> {
    sqlx::query_scalar("select run_at from job_history where kind = $1 order by run_at")
        .bind(kind)
        .fetch_all(stack.database.owner().await)
        .await
        .unwrap()
}

/// In no second were more than `rate` brought back. A step takes as long as its transaction, which is left out.
fn assert_rate(revivals: &[DateTime<Utc>], rate: usize) {
    for window in revivals.windows(rate + 1) {
        let span = window[rate] - window[0];
        assert!(span.num_milliseconds() >= 900, "{rate} and one more within {span}");
    }
}

#[tokio::test]
async fn a_replay_keeps_its_rate_and_tells_its_progress() {
    let stack = Stack::builder().workers(2).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, stranger) = stack.tenant("Elsewhere").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    bury(&stack.database, 60, || Dead::harmless(tenant, "answered 503")).await;
    let kept = Dead::harmless(tenant, "answered 404").bury(&stack.database).await;

    let path = start(&client, json!({ "cause_contains": "503", "rate_per_second": 20 })).await;
    assert_eq!(refused(&stranger, Method::GET, &path, None).await, 404);
    assert_eq!(refused(&stranger, Method::DELETE, &path, None).await, 404);
    assert_eq!(refused(&client, Method::POST, REPLAYS, Some(&json!({ "all": true }))).await, 409, "one at a time");
    let replay = over(&client, &path).await;
    assert_eq!(replay["state"], "finished");
    assert_eq!((&replay["matched"], &replay["replayed"], &replay["skipped"]), (&json!(60), &json!(60), &json!(0)));
    let took = (time(&replay["finished_at"]) - time(&replay["started_at"])).num_milliseconds();
    assert!((2_000..=6_000).contains(&took), "{took} ms");

    stack.idle(LIMIT).await;
    let revivals = revivals(&stack, "emit_event").await;
    assert_eq!(revivals.len(), 60);
    assert_rate(&revivals, 20);
    assert_eq!(ids(&get(&client, "/v1/jobs/dead").await), [kept.to_string()]);
    client.call(Method::POST, &format!("/v1/jobs/dead/{kept}/replay"), None).await.unwrap();
    stack.finish().await;
}

#[tokio::test]
async fn replayed_jobs_stand_behind_fresh_ones() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    Dead::incurable(tenant).bury(&stack.database).await;
    over(&client, &start(&client, json!({ "all": true })).await).await;
    stack.idle(LIMIT).await;
    // It died again, with the priority it ran with.
    assert_eq!(stack.database.count("select priority::bigint from dead_jobs").await, 9);
}

#[tokio::test]
async fn a_cancelled_replay_moves_nothing_more() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    bury(&stack.database, 50, || Dead::harmless(tenant, "answered 503")).await;
    let path = start(&client, json!({ "kind": "emit_event", "rate_per_second": 5 })).await;
    eventually("the first step", LIMIT, async || {
        (get(&client, &path).await["replayed"].as_i64().unwrap() > 0).then_some(())
    })
    .await;
    let cancelled = client.call(Method::DELETE, &path, None).await.unwrap().body;
    assert_eq!(cancelled["state"], "cancelled");
    let left = cancelled["remaining"].as_i64().unwrap();
    assert!(left > 0, "{cancelled}");
    stack.idle(LIMIT).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(get(&client, &path).await, cancelled, "for good");
    assert_eq!(stack.database.count(DEAD).await, left);
    assert_eq!(post(&client, REPLAYS, json!({ "all": true })).await["matched"], left, "another may start");
}

#[tokio::test]
async fn crashes_neither_double_nor_lose_a_replayed_job() {
    let mut stack = Stack::builder().workers(2).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    bury(&stack.database, 80, || Dead::harmless(tenant, "answered 503")).await;
    let path = start(&client, json!({ "all": true, "rate_per_second": 15 })).await;
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        stack.workers.remove(0).process.kill();
        stack.start_worker().await;
    }
    let replay = over(&client, &path).await;
    assert_eq!((&replay["state"], &replay["replayed"]), (&json!("finished"), &json!(80)), "{replay}");
    stack.idle(LIMIT).await;
    let revivals = revivals(&stack, "emit_event").await;
    assert_eq!(revivals.len(), 80, "each ran to its end once");
    assert_rate(&revivals, 15);
    assert_eq!(stack.database.count(DEAD).await, 0);
}

#[tokio::test]
async fn a_job_that_dies_again_is_not_replayed_again() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    bury(&stack.database, 6, || Dead::incurable(tenant)).await;
    let replay = over(&client, &start(&client, json!({ "all": true, "rate_per_second": 2 })).await).await;
    assert_eq!((&replay["replayed"], &replay["matched"]), (&json!(6), &json!(6)));
    stack.idle(LIMIT).await;
    let deaths = "select count(*) from dead_jobs where died_at > (select started_at from dead_job_replays)";
    assert_eq!(stack.database.count(deaths).await, 6, "all died again, after the replay began");
    assert_eq!(stack.database.count("select max(attempt)::bigint from dead_jobs").await, 1, "with all their attempts");
}

/// Otherwise replayed jobs fill the tenant's window in the lane, and fresh ones wait outside.
#[tokio::test]
async fn a_replay_waits_while_the_jobs_it_brought_back_are_not_done() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, stranger) = stack.tenant("Elsewhere").await;
    let (tenant, other): (TenantId, TenantId) = (tenant.id.parse().unwrap(), other.id.parse().unwrap());
    // Of a kind that no worker runs, as if each took long.
    sqlx::query(
        "insert into jobs (id, tenant_id, kind, key, payload, priority, run_at, relay_at)
         select gen_random_uuid(), $1, 'from_the_future', n::text, '{}', 9, now(), now() + interval '1 day'
         from generate_series(1, 995) n",
    )
    .bind(tenant.uuid())
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    bury(&stack.database, 12, || Dead::incurable(tenant)).await;
    sqlx::query("update dead_jobs set kind = 'from_the_future'").execute(stack.database.owner().await).await.unwrap();
    bury(&stack.database, 12, || Dead::harmless(other, "answered 503")).await;
    let path = start(&client, json!({ "all": true })).await;
    let free = over(&stranger, &start(&stranger, json!({ "all": true })).await).await;
    assert_eq!(free["replayed"], 12, "another tenant's does not wait");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let waiting = get(&client, &path).await;
    assert_eq!((&waiting["state"], &waiting["replayed"]), (&json!("running"), &json!(5)), "{waiting}");
    sqlx::query("delete from jobs where kind = 'from_the_future'").execute(stack.database.owner().await).await.unwrap();
    assert_eq!(over(&client, &path).await["replayed"], 12);
}

#[tokio::test]
async fn work_that_is_queued_already_is_skipped() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    let busy = Dead::harmless(tenant, "answered 503").bury(&stack.database).await;
    Dead::harmless(tenant, "answered 503").bury(&stack.database).await;
    sqlx::query(
        "insert into jobs (id, tenant_id, kind, key, payload, run_at, relay_at)
         select gen_random_uuid(), tenant_id, kind, key, payload, now() + interval '1 day', now() + interval '1 day'
         from dead_jobs where id = $1",
    )
    .bind(busy.uuid())
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    assert_eq!(refused(&client, Method::POST, &format!("/v1/jobs/dead/{busy}/replay"), None).await, 409);
    let replay = over(&client, &start(&client, json!({ "all": true })).await).await;
    assert_eq!((&replay["replayed"], &replay["skipped"]), (&json!(1), &json!(1)), "{replay}");
    assert_eq!(count_of(&stack.database, "select count(*) from dead_jobs where id = $1", busy.uuid()).await, 1);
}

#[tokio::test]
async fn what_a_replay_refuses() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    for body in [
        json!({}),
        json!({ "rate_per_second": 10 }),
        json!({ "all": true, "kind": "emit_event" }),
        json!({ "all": true, "rate_per_second": 0 }),
        json!({ "all": true, "rate_per_second": 1001 }),
        json!({ "all": true, "rate_per_second": -1 }),
        json!({ "all": true, "rate": 5 }),
        json!({ "kind": "dream" }),
        json!({ "cause_contains": "" }),
        json!({ "cause_contains": "\u{0}" }),
        json!({ "died_after": "yesterday" }),
        json!({ "died_after": "2026-02-01T00:00:00Z", "died_before": "2026-01-01T00:00:00Z" }),
    ] {
        assert_eq!(refused(&client, Method::POST, REPLAYS, Some(&body)).await, 422, "{body}");
    }
    for id in ["rpl_01983f2ab3c47d1e9f00a1b2c3d4e5f6", "job_01983f2ab3c47d1e9f00a1b2c3d4e5f6", "1"] {
        assert_eq!(refused(&client, Method::GET, &format!("{REPLAYS}/{id}"), None).await, 404, "{id}");
    }
    assert_eq!(stack.database.count("select count(*) from dead_job_replays").await, 0);
    let nothing = post(&client, REPLAYS, json!({ "all": true })).await;
    assert_eq!((&nothing["matched"], &nothing["remaining"]), (&json!(0), &json!(0)));
}
