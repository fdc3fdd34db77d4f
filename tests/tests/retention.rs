//! Months that are not kept: what goes with a message, and what stays whole without it.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveTime, TimeDelta, Utc};
use loadtest::client::MessageStatus;
use sqlx::{AssertSqlSafe, PgPool};
use tests::{Stack, TestDatabase, eventually};
use uuid::{NoContext, Timestamp, Uuid};

const LIMIT: Duration = Duration::from_secs(30);

fn id_at(at: DateTime<Utc>) -> Uuid {
    Uuid::new_v7(Timestamp::from_unix(NoContext, at.timestamp().unsigned_abs(), at.timestamp_subsec_nanos()))
}

/// The first moment of the month so many months ago.
fn month(ago: u32) -> DateTime<Utc> {
    let today = Utc::now().date_naive();
    ((today - Days::new(today.day0().into())) - Months::new(ago)).and_time(NaiveTime::MIN).and_utc()
}

async fn execute(owner: &PgPool, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(owner).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn registered(database: &TestDatabase) {
    eventually("the schedules are registered and have run", LIMIT, async || {
        let succeeded = "select count(*) from schedules where last_success_at is not null";
        (database.count(succeeded).await == 5).then_some(())
    })
    .await;
}

/// A conversation that began then.
async fn conversation(owner: &PgPool, tenant: Uuid, at: DateTime<Utc>, changed: DateTime<Utc>) -> Uuid {
    let id = id_at(at);
    sqlx::query("insert into conversations (id, tenant_id, created_at, updated_at) values ($1, $2, $3, $4)")
        .bind(id)
        .bind(tenant)
        .bind(at)
        .bind(changed)
        .execute(owner)
        .await
        .unwrap();
    id
}

/// A line of a transcript with all that can hang on one.
async fn line(owner: &PgPool, tenant: Uuid, conversation: Uuid, at: DateTime<Utc>, status: Option<&str>) -> Uuid {
    let id = id_at(at);
    let created = jobs::domain::ids::created_at(id);
    sqlx::query(
        "insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, status, ingested_at)
         select $1, $2, $3, $4, coalesce(max(seq), 0) + 1, case when $5::text is null then 'assistant' else 'customer' end,
           't', $5, $2 from messages where conversation_id = $4",
    )
    .bind(id)
    .bind(created)
    .bind(tenant)
    .bind(conversation)
    .bind(status)
    .execute(owner)
    .await
    .unwrap();
    for statement in [
        "insert into message_stream (tenant_id, conversation_id, message_id, position, event, data)
         values ($1, $2, $3, 1, 'status', '{}')",
        "insert into events (id, tenant_id, type, conversation_id, message_id, data)
         values ($3, $1, 'message.sent', $2, $3, '{}')",
        "insert into webhook_attempts (id, tenant_id, event_id, message_id, url, attempt, duration_ms)
         select $3, $1, $3, $3, 'u', 1, 1 where $2::uuid is not null",
        "insert into escalations (id, tenant_id, conversation_id, message_id, reason, status)
         values ($3, $1, $2, $3, 'high_stakes', 'resolved')",
        "insert into dead_jobs (id, tenant_id, kind, key, payload, subject, priority, attempt, cause, created_at)
         select $3, $1, 'complete', $3::text, '{}', $3, 5, 1, 'c', now() where $2::uuid is not null",
    ] {
        sqlx::query(statement).bind(tenant).bind(conversation).bind(id).execute(owner).await.unwrap();
    }
    id
}

const HANGING: [&str; 5] = [
    "select count(*) from message_stream where message_id = $1",
    "select count(*) from events where message_id = $1",
    "select count(*) from webhook_attempts where message_id = $1",
    "select count(*) from escalations where message_id = $1",
    "select count(*) from dead_jobs where subject = $1",
];

async fn hanging(owner: &PgPool, message: Uuid) -> i64 {
    let mut sum = 0;
    for query in HANGING {
        sum += sqlx::query_scalar::<_, i64>(query).bind(message).fetch_one(owner).await.unwrap();
    }
    sum
}

#[tokio::test]
async fn a_month_of_messages_goes_with_all_that_hangs_on_it() {
    let stack = Stack::builder().env("MESSAGE_RETENTION_MONTHS", "2").start().await;
    let database = &stack.database;
    registered(database).await;
    let owner = database.owner().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let tenant: jobs::domain::ids::TenantId = tenant.id.parse().unwrap();
    let tenant = tenant.uuid();
    let day = TimeDelta::days(1);
    // Kept: this month and the two before it. Of the two months that are not, one has a partition, one has none.
    let kept_from = month(2);
    execute(owner, &format!("call create_month_partitions('messages', '{}', 1)", month(3).date_naive())).await;
    let partition = format!("messages_{}", month(3).format("%Y_%m"));

    // Wholly past.
    let past = conversation(owner, tenant, month(4) + day, month(3) + day).await;
    let stray = line(owner, tenant, past, month(4) + day, Some("answered")).await;
    let old = line(owner, tenant, past, month(3) + day, Some("answered")).await;
    sqlx::query("insert into events (id, tenant_id, type, conversation_id, data) values ($1, $2, 'conversation.created', $3, '{}')")
        .bind(id_at(month(4) + day)).bind(tenant).bind(past).execute(owner).await.unwrap();
    // Goes on, with a reply to what is gone, an escalation that is still open, and the turn given to what is gone.
    let going_on = conversation(owner, tenant, month(3) + day, Utc::now()).await;
    let asked = line(owner, tenant, going_on, month(3) + day * 2, Some("completing")).await;
    let reply = line(owner, tenant, going_on, kept_from + day, None).await;
    let waiting = line(owner, tenant, going_on, Utc::now() - TimeDelta::minutes(1), Some("queued")).await;
    sqlx::query("update messages set reply_to = $2 where id = $1")
        .bind(reply)
        .bind(asked)
        .execute(owner)
        .await
        .unwrap();
    sqlx::query("update escalations set status = 'open' where message_id = $1")
        .bind(asked)
        .execute(owner)
        .await
        .unwrap();
    sqlx::query("update conversations set status = 'escalated', active_message_id = $2, last_seq = 3 where id = $1")
        .bind(going_on)
        .bind(asked)
        .execute(owner)
        .await
        .unwrap();
    // On the very edge, empty but changed today, and a document's dead job as old as the messages.
    let edge = conversation(owner, tenant, kept_from, kept_from).await;
    let first_kept = line(owner, tenant, edge, kept_from, Some("answered")).await;
    let empty_and_young = conversation(owner, tenant, month(3) + day, Utc::now()).await;
    sqlx::query(
        "insert into dead_jobs (id, tenant_id, kind, key, payload, subject, priority, attempt, cause, created_at)
         values ($1, $2, 'embed_document', 'k', '{}', $1, 5, 1, 'c', now())",
    )
    .bind(id_at(month(3) + day))
    .bind(tenant)
    .execute(owner)
    .await
    .unwrap();
    assert_eq!(hanging(owner, old).await, 5);

    database.run_schedule("expire_messages", LIMIT).await;

    let gone: Option<String> =
        sqlx::query_scalar("select to_regclass($1)::text").bind(&partition).fetch_one(owner).await.unwrap();
    assert_eq!(gone, None, "dropped");
    for message in [stray, old, asked] {
        assert_eq!(hanging(owner, message).await, 0, "{message}");
    }
    for message in [reply, first_kept] {
        assert_eq!(hanging(owner, message).await, 5, "{message} is kept with all that hangs on it");
    }
    let mut kept: Vec<Uuid> = sqlx::query_scalar("select id from conversations").fetch_all(owner).await.unwrap();
    kept.sort();
    let mut expected = vec![going_on, edge, empty_and_young];
    expected.sort();
    assert_eq!(kept, expected, "the one without messages is gone");
    assert_eq!(database.count("select count(*) from messages where created_at < now() - interval '4 months'").await, 0);
    let dangling = "select (select count(*) from messages m where reply_to is not null
          and not exists (select from messages q where q.id = m.reply_to))
        + (select count(*) from conversations c where active_message_id is not null
          and not exists (select from messages m where m.id = c.active_message_id))
        + (select count(*) from events e where message_id is not null
          and not exists (select from messages m where m.id = e.message_id))
        + (select count(*) from message_stream s where not exists (select from messages m where m.id = s.message_id))
        + (select count(*) from escalations e where not exists (select from messages m where m.id = e.message_id))
        + (select count(*) from webhook_attempts a where message_id is not null
          and not exists (select from messages m where m.id = a.message_id))";
    assert_eq!(database.count(dangling).await, 0, "nothing points to what is gone");
    assert_eq!(database.count("select count(*) from dead_jobs where kind = 'embed_document'").await, 1);

    // The conversation goes on: what waited behind the message that is gone is answered.
    let waiting = jobs::domain::ids::MessageId::from_uuid(waiting).to_string();
    let answered = client.final_message(&waiting, LIMIT).await.unwrap();
    assert!(matches!(answered.status, MessageStatus::Answered | MessageStatus::Escalated), "{answered:?}");
    stack.idle(LIMIT).await;
    execute(owner, "delete from dead_jobs").await;
    stack.finish().await;
}

#[tokio::test]
async fn months_are_kept_for_ever_when_asked_and_logs_go_by_their_own_setting() {
    let stack =
        Stack::builder().env("MESSAGE_RETENTION_MONTHS", "0").env("API_LOG_RETENTION_MONTHS", "1").start().await;
    let database = &stack.database;
    registered(database).await;
    let owner = database.owner().await;
    for table in ["messages", "api_logs"] {
        execute(owner, &format!("call create_month_partitions('{table}', '{}', 40)", month(40).date_naive())).await;
    }
    // Without a partition, from the month before the first of those and from before the history that is kept.
    execute(
        owner,
        &format!(
            "insert into api_logs (id, created_at, request_id, method, route, status, duration_us)
             select gen_random_uuid(), at, 'r', 'GET', '/', 200, 1
             from unnest(array['{}'::timestamptz, now()]) at;
             insert into job_history (id, kind, key, attempt, outcome, created_at, run_at, started_at, finished_at)
             values (gen_random_uuid(), 'old', 'k', 1, 'done', now(), now(), now(), now() - interval '31 days 1 hour')",
            month(41).to_rfc3339()
        ),
    )
    .await;
    assert_eq!(database.count("select count(*) from job_history_default").await, 1);
    for job in ["maintain_partitions", "expire_messages", "purge_expired"] {
        database.run_schedule(job, LIMIT).await;
    }
    let of = async |table: &str| -> Vec<String> {
        let query = "select relname::text from pg_class where relispartition and relkind = 'r' and relname ~ $1
            and relname < $2 order by 1";
        let (pattern, now) = (format!("^{table}_\\d"), format!("{table}_{}", Utc::now().format("%Y_%m")));
        sqlx::query_scalar(query).bind(pattern).bind(now).fetch_all(owner).await.unwrap()
    };
    assert_eq!(of("messages").await.len(), 40);
    assert_eq!(of("api_logs").await, [format!("api_logs_{}", month(1).format("%Y_%m"))], "the month before is kept");
    let old = "select count(*) from api_logs where created_at < now() - interval '2 months'";
    assert_eq!(database.count(old).await, 0, "what had no partition");
    assert!(database.count("select count(*) from api_logs").await >= 1);
    assert_eq!(database.count("select count(*) from job_history_default").await, 0);
    stack.finish().await;
}

/// A drop that fails at the last moment undoes nothing that was promised, and the next try ends it.
#[tokio::test]
async fn a_month_that_is_in_use_is_dropped_later() {
    let stack = Stack::builder().env("MESSAGE_RETENTION_MONTHS", "1").start().await;
    let database = &stack.database;
    registered(database).await;
    let owner = database.owner().await;
    execute(owner, &format!("call create_month_partitions('messages', '{}', 1)", month(2).date_naive())).await;
    let partition = format!("messages_{}", month(2).format("%Y_%m"));
    let exists = async || -> bool {
        sqlx::query_scalar("select to_regclass($1) is not null").bind(&partition).fetch_one(owner).await.unwrap()
    };
    let mut reader = owner.begin().await.unwrap();
    sqlx::query("select count(*) from messages").execute(&mut *reader).await.unwrap();
    sqlx::query("update schedules set next_at = now(), last_success_at = null where name = 'expire_messages'")
        .execute(owner)
        .await
        .unwrap();
    eventually("the job tries again", LIMIT, async || {
        let tried = "select count(*) from jobs where kind = 'expire_messages' and last_error like '%lock timeout%'";
        (database.count(tried).await == 1).then_some(())
    })
    .await;
    assert!(exists().await);
    reader.rollback().await.unwrap();
    eventually("the month is dropped", LIMIT, async || (!exists().await).then_some(())).await;
    stack.finish().await;
}

#[tokio::test]
async fn events_attempts_and_dead_jobs_are_purged_by_age() {
    let stack = Stack::start().await;
    let database = &stack.database;
    registered(database).await;
    let owner = database.owner().await;
    let (tenant, _) = stack.tenant("Fellmark").await;
    let tenant: jobs::domain::ids::TenantId = tenant.id.parse().unwrap();
    for (event, days) in [(91, [91, 31]), (89, [31, 29])] {
        let event = id_at(Utc::now() - TimeDelta::days(event));
        sqlx::query("insert into events (id, tenant_id, type, data) values ($1, $2, 'message.sent', '{}')")
            .bind(event)
            .bind(tenant.uuid())
            .execute(owner)
            .await
            .unwrap();
        for days in days {
            let insert = "insert into webhook_attempts (id, tenant_id, event_id, url, attempt, duration_ms)
                values ($1, $2, $3, 'u', 1, 1)";
            let id = id_at(Utc::now() - TimeDelta::days(days));
            sqlx::query(insert).bind(id).bind(tenant.uuid()).bind(event).execute(owner).await.unwrap();
        }
    }
    execute(
        owner,
        "insert into dead_jobs (id, kind, key, payload, priority, attempt, cause, created_at, died_at)
         select gen_random_uuid(), 'complete', n::text, '{}', 5, 1, 'c', now(), now() - make_interval(days => n)
         from unnest(array[89, 91]) n",
    )
    .await;
    database.run_schedule("purge_expired", LIMIT).await;
    assert_eq!(database.count("select count(*) from events").await, 1);
    assert_eq!(
        database.count("select count(*) from webhook_attempts").await,
        1,
        "of the younger event, the younger one"
    );
    assert_eq!(database.count("select count(*) from dead_jobs where key = '89'").await, 1);
    assert_eq!(database.count("select count(*) from dead_jobs").await, 1);
    execute(owner, "delete from dead_jobs").await;
    stack.finish().await;
}
