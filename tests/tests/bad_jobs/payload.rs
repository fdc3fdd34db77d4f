//! Payloads that cannot be read, of every kind, and payloads that are too large.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use jobs::{
    domain::{
        ids::{JobId, SearchId, TenantId},
        plan::Share,
        secret::Vault,
    },
    kinds,
    queue::{
        Completion, Dispatcher, Done, Envelope, Failure, GroupCommit, Intakes, Job, JobContext, Lane, Retention,
        RetryPolicy, Runtime, Work, runner, signals::Announcements,
    },
    store::{Originals, StoreError, SystemTx},
};
use loadtest::client::{DocumentStatus, MessageStatus, Submission, TextUpload};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tests::{LaneWorker, Stack, TestDatabase, eventually, lanes};
use uuid::Uuid;

use super::{Row, causes, finish, logged, uuid_of};

const LIMIT: Duration = Duration::from_secs(30);

/// The kinds that work on a message, and the state it is in while they do.
const STAGES: [(&str, &str); 5] = [
    ("ingest_message", "queued"),
    ("retrieve", "retrieving"),
    ("complete", "completing"),
    ("score_confidence", "scoring"),
    ("escalate", "scoring"),
];

#[tokio::test]
async fn what_waits_for_an_unreadable_job_ends_and_what_follows_goes_on() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant = Some(uuid_of(&tenant.id));
    let owner = stack.database.owner().await.clone();
    let mut pairs = Vec::new();
    for (kind, status) in STAGES {
        let first = client.submit(&Submission::new("How long may I return an item?")).await.unwrap().message;
        let conversation_id = Some(first.conversation_id.clone());
        let next = Submission { conversation_id, ..Submission::new("And how long does shipping take?") };
        let next = client.submit(&next).await.unwrap().message;
        let (message, conversation) = (uuid_of(&first.id), uuid_of(&first.conversation_id));
        // The lane still carries the job as it was; without its row, that one changes nothing.
        sqlx::query("delete from jobs where kind = 'ingest_message' and subject = $1")
            .bind(message)
            .execute(&owner)
            .await
            .unwrap();
        if status != "queued" {
            sqlx::query("update messages set status = $2, ingested_at = now() where id = $1")
                .bind(message)
                .bind(status)
                .execute(&owner)
                .await
                .unwrap();
            sqlx::query("update conversations set active_message_id = $2 where id = $1")
                .bind(conversation)
                .bind(message)
                .execute(&owner)
                .await
                .unwrap();
        }
        let payload = json!({ "tenant": 7 });
        let row = Row { id: JobId::generate(), tenant, kind, key: first.id.clone(), subject: Some(message), payload };
        row.write(&owner).await;
        pairs.push((kind, first.id, next.id));
    }
    let search = SearchId::generate();
    sqlx::query("insert into searches (id, tenant_id, query, parameters) values ($1, $2, 'x', '{}')")
        .bind(search.uuid())
        .bind(tenant)
        .execute(&owner)
        .await
        .unwrap();
    let (name, content_type, text) = ("a.md".into(), "text/markdown".into(), "Words.".into());
    let upload = TextUpload { name, content_type, text, ..TextUpload::default() };
    let document = client.upload_text(&upload).await.unwrap();
    sqlx::query("delete from jobs where kind = 'embed_document'").execute(&owner).await.unwrap();
    for (kind, subject) in [
        ("retrieve", Some(search.uuid())),
        ("embed_document", Some(uuid_of(&document.id))),
        ("reembed_document", Some(uuid_of(&document.id))),
        ("emit_event", None),
        ("deliver_webhook", None),
        ("process_stripe_event", None),
        ("replay_dead_jobs", None),
        ("erase", None),
        ("maintain_index", None),
        ("maintain_partitions", None),
        ("expire_messages", None),
        ("purge_expired", None),
        ("sweep_originals", None),
    ] {
        let of_platform = [
            "process_stripe_event",
            "erase",
            "maintain_index",
            "maintain_partitions",
            "expire_messages",
            "purge_expired",
            "sweep_originals",
        ];
        let tenant = tenant.filter(|_| !of_platform.contains(&kind));
        let key = format!("unreadable-{kind}");
        Row { id: JobId::generate(), tenant, kind, key, subject, payload: json!("nonsense") }.write(&owner).await;
    }

    stack.start_worker().await;
    for (kind, first, next) in pairs {
        let first = client.final_message(&first, LIMIT).await.unwrap();
        assert_eq!(first.status, MessageStatus::Failed, "{kind}");
        assert!(first.error.is_some(), "{kind}: {first:?}");
        let next = client.final_message(&next, LIMIT).await.unwrap();
        assert_ne!(next.status, MessageStatus::Failed, "after {kind}: {next:?}");
    }
    let settled = client.settled_document(&document.id, LIMIT).await.unwrap();
    assert_eq!(settled.status, DocumentStatus::Failed);
    assert!(settled.reason.is_some_and(|reason| !reason.is_empty()));
    stack.idle(LIMIT).await;
    assert_eq!(stack.database.count("select count(*) from searches where error is not null").await, 1);
    for (count, event) in [
        (5, "select count(*) from events where type = 'message.failed'"),
        (1, "select count(*) from events where type = 'document.failed'"),
    ] {
        assert_eq!(stack.database.count(event).await, count, "{event}");
    }

    let dead = causes(&stack).await;
    assert_eq!(dead.len(), 18, "each once: {dead:?}");
    assert!(dead.iter().all(|(_, cause, runs)| cause.starts_with("undecodable payload: ") && *runs == 1), "{dead:?}");
    for kind in kinds::names() {
        assert!(dead.iter().any(|(dead, ..)| dead == kind), "{kind}");
    }
    assert_eq!(logged(&stack.workers[0], "job gave up"), 18, "no loop");
    finish(stack).await;
}

#[tokio::test]
async fn an_oversized_row_is_buried_with_its_size_and_does_not_reach_the_lane() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let message = client.submit(&Submission::new("How long may I return an item?")).await.unwrap().message;
    let owner = stack.database.owner().await.clone();
    sqlx::query("delete from jobs where kind = 'ingest_message'").execute(&owner).await.unwrap();
    // Readable but for its size.
    let payload = json!({
        "tenant": tenant.id, "conversation": message.conversation_id, "message": message.id,
        "filler": "x".repeat(300_000),
    });
    let row = Row {
        id: JobId::generate(),
        tenant: Some(uuid_of(&tenant.id)),
        kind: "ingest_message",
        key: message.id.clone(),
        subject: Some(uuid_of(&message.id)),
        payload,
    };
    row.write(&owner).await;
    stack.start_worker().await;
    assert_eq!(client.final_message(&message.id, LIMIT).await.unwrap().status, MessageStatus::Failed);
    stack.idle(LIMIT).await;
    let dead = causes(&stack).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].1.starts_with("a payload of 3001") && dead[0].1.contains("at most 262144"), "{dead:?}");
    finish(stack).await;
}

/// Adds a follow-up job that is too large.
#[derive(Serialize, Deserialize)]
struct Overflowing {
    filler: String,
}

impl Job for Overflowing {
    type Scope = SystemTx;

    const KIND: &'static str = "overflowing";
    const LANE: Lane = Lane { slots: 1, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 5, base: Duration::from_millis(10), cap: Duration::from_secs(1) };
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn tenant(&self) -> Option<TenantId> {
        None
    }

    fn key(&self) -> String {
        self.filler.len().to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut done = context.finish::<SystemTx>().await?;
        done.enqueue(&Self { filler: "x".repeat(300_000) })?;
        done.commit().await
    }

    async fn give_up(_: &mut Completion<SystemTx>, _: &Envelope, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    engines: worker::engines::Config,
}

#[tokio::test]
async fn a_job_that_enqueues_an_oversized_one_is_dead_at_once_with_that_cause() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::parse_from(["tests".into(), "--lancedb-uri".into(), folder.path().as_os_str().to_owned()]);
    let lanes = lanes(Duration::from_secs(5));
    let (dispatcher, _dispatching) = Dispatcher::start(lanes.clone(), Intakes::default());
    let runtime = Runtime {
        database: database.clone(),
        dispatcher: dispatcher.clone(),
        cancellations: Announcements::default(),
        group_commit: GroupCommit::start(database.clone()).0,
        engines: worker::engines::connect(settings.engines).await.unwrap(),
        originals: Originals::connect(&folder.path().join("originals").to_string_lossy(), []).unwrap(),
        vault: Vault::ephemeral(),
        prices: Arc::default(),
        webhook_attempts: 1,
        retention: Retention { history_days: 30, message_months: 0, api_log_months: 0 },
    };
    let worker = LaneWorker::start(&lanes, Overflowing::KIND, 1, move |delivery| {
        runner::run::<Overflowing>(delivery, runtime.clone())
    });
    let mut work = Work::<SystemTx>::begin(&database, &dispatcher, None, Share::PLATFORM, None).await.unwrap();
    work.enqueue(&Overflowing { filler: String::new() }).unwrap();
    work.commit().await.unwrap();
    let cause: String = eventually("the job is dead", LIMIT, async || {
        sqlx::query_scalar("select cause from dead_jobs").fetch_optional(test.owner().await).await.unwrap()
    })
    .await;
    assert_eq!(cause, "the payload of a job of kind overflowing has 300013 bytes, at most 262144 are taken");
    assert_eq!(test.count("select count(*) from jobs").await, 0, "neither it nor what it enqueued is left");
    assert_eq!(test.count("select count(*) from dead_jobs where attempt = 1").await, 1);
    worker.stop().await;
}
