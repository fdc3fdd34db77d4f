//! Dead letters: listed, replayed by filter at a rate, discarded; through the API.

mod cli;
mod rates;

use std::time::Duration;

use chrono::{DateTime, Utc};
use jobs::{
    domain::ids::{DocumentId, EventId, JobId, ReplayId, TenantId},
    kinds::replay_dead_jobs::{self, Single},
    store::{
        Scope, SystemTx,
        dead_jobs::{self, Filter},
        jobs as ledger, replays,
    },
};
use loadtest::client::{Client, ClientError};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Stack, TestDatabase, done, new_job};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);
const DEAD: &str = "select count(*) from dead_jobs";

/// A dead job of a test.
struct Dead<'a> {
    tenant: Option<TenantId>,
    kind: &'a str,
    payload: Value,
    cause: &'a str,
    minutes_ago: i32,
}

impl<'a> Dead<'a> {
    /// One that finishes at once when it runs: its event is erased.
    fn harmless(tenant: TenantId, cause: &'a str) -> Self {
        let payload = json!({ "tenant": tenant, "event": EventId::generate(), "subject": null });
        Self { tenant: Some(tenant), kind: "emit_event", payload, cause, minutes_ago: 5 }
    }

    /// One that dies again whenever it runs: its payload cannot be read.
    fn incurable(tenant: TenantId) -> Self {
        let payload = json!({ "unreadable": true });
        Self { tenant: Some(tenant), kind: "deliver_webhook", payload, cause: "undecodable payload", minutes_ago: 5 }
    }

    async fn bury(self, database: &TestDatabase) -> JobId {
        let id = JobId::generate();
        sqlx::query(
            "insert into dead_jobs (id, tenant_id, kind, key, payload, priority, attempt, cause, created_at, died_at)
             values ($1, $2, $3, $4, $5, 5, 3, $6, now() - interval '1 day', now() - make_interval(mins => $7))",
        )
        .bind(id.uuid())
        .bind(self.tenant.map(TenantId::uuid))
        .bind(self.kind)
        .bind(format!("key-{}", id.uuid()))
        .bind(self.payload)
        .bind(self.cause)
        .bind(self.minutes_ago)
        .execute(database.owner().await)
        .await
        .unwrap();
        id
    }
}

async fn bury(database: &TestDatabase, number: usize, dead: impl Fn() -> Dead<'static>) {
    for _ in 0..number {
        dead().bury(database).await;
    }
}

async fn get(client: &Client, path: &str) -> Value {
    client.call(Method::GET, path, None).await.unwrap().body
}

async fn post(client: &Client, path: &str, body: Value) -> Value {
    client.call(Method::POST, path, Some(&body)).await.unwrap().body
}

/// The status that a call is refused with.
async fn refused(client: &Client, method: Method, path: &str, body: Option<&Value>) -> u16 {
    match client.call(method, path, body).await {
        Err(ClientError::Refused { status, .. }) => status,
        other => panic!("{path} was not refused: {other:?}"),
    }
}

fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_filtered_and_paged_and_show_one_tenants_jobs() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, _) = stack.tenant("Elsewhere").await;
    let (tenant, other): (TenantId, TenantId) = (tenant.id.parse().unwrap(), other.id.parse().unwrap());
    let at = |minutes_ago, cause| Dead { minutes_ago, ..Dead::harmless(tenant, cause) };
    let old = at(50, "answered 404").bury(&stack.database).await.to_string();
    let recent = at(20, "answered 503 50%_").bury(&stack.database).await.to_string();
    let incurable = Dead { minutes_ago: 10, ..Dead::incurable(tenant) }.bury(&stack.database).await.to_string();
    Dead::harmless(other, "answered 404").bury(&stack.database).await;

    let list = async |query: &str| get(&client, &format!("/v1/jobs/dead?{query}")).await;
    assert_eq!(ids(&list("").await), [&incurable, &recent, &old], "the latest death first");
    assert_eq!(ids(&list("kind=emit_event").await), [&recent, &old]);
    assert_eq!(ids(&list("cause_contains=404").await), [&old]);
    assert_eq!(ids(&list("cause_contains=%25_").await), [&recent], "no pattern, plain text");
    let half_an_hour_ago = (Utc::now() - chrono::TimeDelta::minutes(30)).format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(ids(&list(&format!("died_after={half_an_hour_ago}")).await), [&incurable, &recent]);
    assert_eq!(ids(&list(&format!("died_before={half_an_hour_ago}")).await), [&old]);

    let first = list("limit=2").await;
    assert_eq!(ids(&first), [&incurable, &recent]);
    let rest = list(&format!("limit=2&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&rest), &rest["next_cursor"]), (vec![old.as_str()], &Value::Null));

    let shown = get(&client, &format!("/v1/jobs/dead/{incurable}")).await;
    assert_eq!((&shown["payload"], &shown["attempts"]), (&json!({ "unreadable": true }), &json!(3)));
    assert_eq!((&shown["cause"], shown.get("traceparent")), (&json!("undecodable payload"), Some(&Value::Null)));
}

#[tokio::test]
async fn discarding_deletes_what_was_meant_and_nothing_of_others() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, stranger) = stack.tenant("Elsewhere").await;
    let (tenant, other): (TenantId, TenantId) = (tenant.id.parse().unwrap(), other.id.parse().unwrap());
    bury(&stack.database, 3, || Dead::harmless(tenant, "answered 404")).await;
    bury(&stack.database, 2, || Dead::harmless(other, "answered 404")).await;
    let kept = Dead::incurable(tenant).bury(&stack.database).await;
    let path = format!("/v1/jobs/dead/{kept}");

    assert_eq!(refused(&stranger, Method::DELETE, &path, None).await, 404);
    assert_eq!(refused(&stranger, Method::GET, &path, None).await, 404);
    assert_eq!(refused(&stranger, Method::POST, &format!("{path}/replay"), None).await, 404);
    let discarded = post(&client, "/v1/jobs/dead/discard", json!({ "cause_contains": "404" })).await;
    assert_eq!(discarded, json!({ "discarded": 3, "more": false }));
    assert_eq!(ids(&get(&client, "/v1/jobs/dead").await), [kept.to_string()]);
    client.call(Method::DELETE, &path, None).await.unwrap();
    assert_eq!(refused(&client, Method::DELETE, &path, None).await, 404);
    assert_eq!(stack.database.count(DEAD).await, 2, "the other tenant's");
    let all = post(&stranger, "/v1/jobs/dead/discard", json!({ "all": true })).await;
    assert_eq!(all["discarded"], 2);

    for body in [json!({}), json!({ "all": false }), json!({ "all": true, "kind": "emit_event" })] {
        assert_eq!(refused(&client, Method::POST, "/v1/jobs/dead/discard", Some(&body)).await, 422, "{body}");
    }
}

#[tokio::test]
async fn a_replayed_document_is_no_longer_failed() {
    let test = TestDatabase::create().await;
    let (tenant, document) = (TenantId::generate(), DocumentId::generate());
    sqlx::query("insert into tenants (id, name, callback_secret) values ($1, 't', 's')")
        .bind(tenant.uuid())
        .execute(test.owner().await)
        .await
        .unwrap();
    sqlx::query("insert into documents (id, tenant_id, status, reason) values ($1, $2, 'failed', 'unlucky')")
        .bind(document.uuid())
        .bind(tenant.uuid())
        .execute(test.owner().await)
        .await
        .unwrap();
    let payload = json!({ "tenant": tenant, "document": document, "version": 1 });
    let embed = |payload| Dead { kind: "embed_document", payload, ..Dead::incurable(tenant) };
    let (whole, broken) = (embed(payload).bury(&test).await, embed(json!(7)).bury(&test).await);

    let database = test.connect();
    for id in [broken, whole] {
        let mut tx = SystemTx::begin(&database, None).await.unwrap();
        assert!(matches!(replay_dead_jobs::single(&mut tx, id).await.unwrap(), Single::Queued(_)), "{id}");
        assert!(matches!(replay_dead_jobs::single(&mut tx, id).await.unwrap(), Single::Missing), "once");
        tx.commit().await.unwrap();
    }
    let open = "select count(*) from documents where status = 'pending' and reason is null";
    assert_eq!(test.count(open).await, 1);
    assert_eq!(test.count("select count(*) from jobs where relay_at <= now()").await, 2);
}

/// A worker that lost the job before it died must not finish it after its replay.
#[tokio::test]
async fn a_worker_that_was_fenced_off_stays_so_after_a_replay() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let job = new_job("retrieve", "a");
    let mut tx = SystemTx::begin(&database, None).await.unwrap();
    ledger::insert(tx.connection(), vec![job.clone()]).await.unwrap();
    assert!(ledger::take_over(tx.connection(), job.id, 7, 1).await.unwrap().is_some());
    assert!(ledger::bury(tx.connection(), job.id, 7, "tired").await.unwrap());
    assert!(matches!(replay_dead_jobs::single(&mut tx, job.id).await.unwrap(), Single::Queued(_)));
    assert!(!ledger::complete(tx.connection(), done(job.id, 6)).await.unwrap(), "the lost worker");
    assert!(ledger::complete(tx.connection(), done(job.id, 8)).await.unwrap(), "a later one");
    tx.commit().await.unwrap();
}

/// Lists, walks and deletions read what they return, however many are dead: counted by Postgres itself.
#[tokio::test]
async fn no_query_of_dead_jobs_reads_them_all() {
    let test = TestDatabase::create().await;
    let tenant = TenantId::generate();
    let owner = test.owner().await;
    sqlx::query("insert into tenants (id, name, callback_secret) values ($1, 't', 's')")
        .bind(tenant.uuid())
        .execute(owner)
        .await
        .unwrap();
    sqlx::query(
        "insert into dead_jobs (id, tenant_id, kind, key, payload, priority, attempt, cause, created_at, died_at)
         select gen_random_uuid(), case when n % 2 = 0 then $1 end, 'kind' || n % 20, n::text, '{}', 5, 1,
           'answered 503', now(), now() - n * interval '1 s' from generate_series(1, 20000) n",
    )
    .bind(tenant.uuid())
    .execute(owner)
    .await
    .unwrap();
    sqlx::query("analyze dead_jobs").execute(owner).await.unwrap();

    let filter = |tenant, kind: Option<&str>| Filter {
        tenant,
        kind: kind.map(str::to_owned),
        cause: Some("503".into()),
        died_after: Some(Utc::now() - chrono::TimeDelta::days(2)),
        died_before: None,
    };
    let filters = [
        filter(None, None),
        filter(None, Some("kind3")),
        filter(Some(tenant), None),
        filter(Some(tenant), Some("kind4")),
    ];
    let database = test.connect();
    let mut tx = SystemTx::begin(&database, None).await.unwrap();
    for filter in &filters {
        let page = dead_jobs::list(tx.connection(), filter, None, 50).await.unwrap();
        let next = dead_jobs::list(tx.connection(), filter, Some(page[49].position()), 50).await.unwrap();
        assert!(next.len() == 50 && next[0].died_at < page[49].died_at);
        assert_eq!(dead_jobs::discard_some(tx.connection(), filter, Utc::now(), 50).await.unwrap(), 50);
        let id = ReplayId::generate();
        sqlx::query(
            "insert into dead_job_replays (id, tenant_id, kind, cause_contains, rate_per_second, matched, state)
             values ($1, $2, $3, '503', 50, 1000, 'failed')",
        )
        .bind(id.uuid())
        .bind(filter.tenant.map(TenantId::uuid))
        .bind(&filter.kind)
        .execute(owner)
        .await
        .unwrap();
        let replay = replays::find(tx.connection(), id).await.unwrap().unwrap();
        assert_eq!(replays::next(tx.connection(), &replay, 50).await.unwrap().len(), 50);
    }
    tx.commit().await.unwrap();
    // A session reports what it read when it ends.
    database.close().await;
    let scanned = "select seq_tup_read::bigint from pg_stat_user_tables where relname = 'dead_jobs'";
    assert_eq!(test.count(scanned).await, 0);
    let looked_up = "select sum(idx_tup_read)::bigint from pg_stat_user_indexes where relname = 'dead_jobs'";
    let looked_up = test.count(looked_up).await;
    assert!((600..3_000).contains(&looked_up), "{looked_up} of 20000");
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

async fn count_of(database: &TestDatabase, query: &'static str, id: Uuid) -> i64 {
    sqlx::query_scalar(query).bind(id).fetch_one(database.owner().await).await.unwrap()
}
