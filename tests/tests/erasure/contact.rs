use loadtest::{
    client::Contact,
    fake_model::{Config, FakeModel},
    receiver::Receiver,
};

use super::*;

/// Everything that a path could trip over.
const ODD: &str = "Zoë / b?x=1&y#%41 ü+";
const ODD_IN_A_PATH: &str = "Zo%C3%AB%20%2F%20b%3Fx%3D1%26y%23%2541%20%C3%BC%2B";

fn from(contact: &str, text: &str) -> Submission {
    Submission { contact: Some(Contact { id: contact.into(), name: Some("Zoë".into()) }), ..Submission::new(text) }
}

/// Rows that name a conversation or one of its messages.
async fn rows_about(stack: &Stack, conversation: &str, messages: &[String]) -> i64 {
    let uuid = |id: &str| Uuid::try_parse(id.rsplit_once('_').unwrap().1).unwrap();
    let ids: Vec<Uuid> = messages.iter().map(|id| uuid(id)).collect();
    sqlx::query_scalar(
        "select (select count(*) from conversations where id = $1) + (select count(*) from messages where conversation_id = $1)
           + (select count(*) from message_stream where conversation_id = $1)
           + (select count(*) from events where conversation_id = $1 or data::text like '%' || $2 || '%')
           + (select count(*) from escalations where conversation_id = $1)
           + (select count(*) from webhook_attempts a where message_id = any($3) or not exists (
               select from events e where e.id = a.event_id))
           + (select count(*) from jobs where subject = any($3 || $1))
           + (select count(*) from dead_jobs where subject = any($3 || $1))
           + (select count(*) from job_history where subject = any($3 || $1))
           + (select count(*) from idempotency_keys where response::text like '%' || $2 || '%')",
    )
    .bind(uuid(conversation))
    .bind(conversation)
    .bind(&ids)
    .fetch_one(stack.database.owner().await)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_contacts_conversations_go_with_all_that_hangs_on_them() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    let receiver = Receiver::start().await.unwrap();
    let endpoint = client.create_endpoint(&receiver.url(), &[]).await.unwrap();
    receiver.set_secret(&endpoint.secret);

    let question = "Where is my parcel?";
    let callback = Receiver::start().await.unwrap();
    callback.set_secret(&tenant.callback_secret);
    let callback_url = Some(callback.url());
    let keyed = Submission { idempotency_key: Some("once".into()), callback_url, ..from(ODD, question) };
    let first = ask(&client, keyed).await;
    let conversation_id = Some(first.conversation_id.clone());
    let second = ask(&client, Submission { conversation_id, ..Submission::new("And my second one?") }).await;
    let other_conversation = ask(&client, from(ODD, question)).await;
    let kept = ask(&client, Submission { idempotency_key: Some("other".into()), ..from("customer-2", question) }).await;
    let theirs = ask(&neighbour, from(ODD, question)).await;
    stack.idle(LIMIT).await;
    let messages = [first.id.clone(), second.id.clone()];
    assert!(rows_about(&stack, &first.conversation_id, &messages).await > 20);
    let kept_rows = rows_about(&stack, &kept.conversation_id, std::slice::from_ref(&kept.id)).await;
    let their_rows = rows_about(&stack, &theirs.conversation_id, std::slice::from_ref(&theirs.id)).await;
    // A job of its own that died, and one of the conversation's event.
    let uuid = |id: &str| Uuid::try_parse(id.rsplit_once('_').unwrap().1).unwrap();
    for subject in [&first.id, &first.conversation_id] {
        sqlx::query(
            "insert into dead_jobs (id, tenant_id, kind, key, payload, subject, priority, attempt, cause, created_at)
             select gen_random_uuid(), tenant_id, 'emit_event', gen_random_uuid()::text, '{}', $1, 5, 1, 'c', now()
             from conversations where id = $2",
        )
        .bind(uuid(subject))
        .bind(uuid(&first.conversation_id))
        .execute(stack.database.owner().await)
        .await
        .unwrap();
    }

    let id = erase(&client, &format!("/v1/contacts/{ODD_IN_A_PATH}")).await;
    let receipt = finished(&client, &id).await;
    assert_eq!(receipt["scope"], "contact");
    let subject = receipt["subject"].as_str().unwrap();
    assert!(subject.starts_with("sha256:") && subject.len() == 71, "{subject}");
    let removed = &receipt["removed"];
    // Three questions, each with a reply that says that a person will answer.
    for (name, count) in
        [("conversations", 2), ("messages", 6), ("idempotency_keys", 1), ("escalations", 2), ("dead_jobs", 2)]
    {
        assert_eq!(removed[name], count, "{name}: {receipt}");
    }
    for name in ["events", "message_stream", "webhook_attempts", "job_history"] {
        assert!(removed[name].as_i64().unwrap() > 0, "{name}: {receipt}");
    }
    assert!(receipt["proof"]["vectors"].is_null());

    stack.idle(LIMIT).await;
    assert_eq!(rows_about(&stack, &first.conversation_id, &messages).await, 0);
    assert_eq!(
        rows_about(&stack, &other_conversation.conversation_id, std::slice::from_ref(&other_conversation.id)).await,
        0
    );
    assert_eq!(rows_about(&stack, &kept.conversation_id, std::slice::from_ref(&kept.id)).await, kept_rows);
    assert_eq!(rows_about(&stack, &theirs.conversation_id, std::slice::from_ref(&theirs.id)).await, their_rows);
    let anywhere = "select count(*) from erasures where subject like '%Zo%'";
    assert_eq!(stack.database.count(anywhere).await, 0, "the receipt does not keep what was to be forgotten");

    assert_eq!(client.message(&first.id, None).await.unwrap_err().status(), Some(404));
    let again = client.call(Method::DELETE, &format!("/v1/contacts/{ODD_IN_A_PATH}"), None).await;
    assert_eq!(again.unwrap_err().status(), Some(404));
    for nobody in ["%00".to_owned(), "x".repeat(201), "nobody".to_owned()] {
        let refused = client.call(Method::DELETE, &format!("/v1/contacts/{nobody}"), None).await;
        assert_eq!(refused.unwrap_err().status(), Some(404), "{nobody}");
    }
    // The contact may come back; that is a new beginning.
    let back = ask(&client, from(ODD, question)).await;
    assert_ne!(back.conversation_id, first.conversation_id);
    stack.finish().await;
}

#[tokio::test]
async fn work_in_flight_for_an_erased_contact_ends_without_a_trace() {
    let slow = Config { latency: std::time::Duration::from_secs(2), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let running = client.submit(&from("gone", "Will anybody answer?")).await.unwrap().message;
    let conversation_id = Some(running.conversation_id.clone());
    let behind = Submission { conversation_id: conversation_id.clone(), ..Submission::new("And this?") };
    client.submit(&behind).await.unwrap();
    eventually("the model is asked", LIMIT, async || (!model.requests().is_empty()).then_some(())).await;

    let id = erase(&client, "/v1/contacts/gone").await;
    finished(&client, &id).await;
    let late = client.submit(&Submission { conversation_id, ..Submission::new("Too late?") }).await;
    assert_eq!(late.unwrap_err().status(), Some(404));
    // Longer than the model takes.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    stack.idle(LIMIT).await;
    for table in ["conversations", "messages", "message_stream", "events", "escalations", "jobs", "dead_jobs"] {
        let count = format!("select count(*) from {table}");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(stack.database.owner().await).await.unwrap();
        assert_eq!(left, 0, "{table}");
    }
    let log = stack.workers[0].process.log();
    assert!(!log.contains("job gave up"), "{log}");
    stack.finish().await;
}

/// More messages than one run of the job removes, and a worker that is lost in the middle.
#[tokio::test]
async fn a_crash_in_the_middle_costs_nothing_and_counts_stay_exact() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let lines = 30_000;
    sqlx::query(
        "with begun as (
           insert into conversations (id, tenant_id, contact_id, last_seq) values ($1, $2, 'talkative', $3) returning id)
         insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text)
         select gen_random_uuid(), now(), $2, id, n, 'agent', 'A line.' from begun, generate_series(1, $3) n",
    )
    .bind(Uuid::now_v7())
    .bind(tenant_id(&tenant.id).uuid())
    .bind(lines)
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    // As autovacuum does within a minute: rows that Postgres knows nothing of are read over and over.
    sqlx::query("analyze messages").execute(stack.database.owner().await).await.unwrap();
    let id = erase(&client, "/v1/contacts/talkative").await;
    let mut crashes = 0;
    loop {
        stack.start_worker().await;
        let receipt = eventually("some lines are removed", LIMIT, async || {
            let receipt = receipt(&client, &id).await;
            let removed = receipt["removed"]["messages"].as_i64().unwrap_or_default();
            (removed > crashes * 5_000).then_some(receipt)
        })
        .await;
        if receipt["status"] == "finished" || crashes == 2 {
            break;
        }
        stack.workers.pop().unwrap().process.kill();
        crashes += 1;
    }
    assert!(crashes > 0, "a worker was lost in the middle");
    let receipt = finished(&client, &id).await;
    assert_eq!(receipt["removed"]["messages"], lines);
    assert_eq!(receipt["removed"]["conversations"], 1);

    // The finished job once more, as a replay or a late worker would: nothing changes.
    sqlx::query(
        "insert into jobs (id, kind, key, payload, run_at, relay_at)
         values (gen_random_uuid(), 'erase', $1, jsonb_build_object('erasure', $1, 'tenant', null), now(), now())",
    )
    .bind(&id)
    .execute(stack.database.owner().await)
    .await
    .unwrap();
    stack.idle(LIMIT).await;
    assert_eq!(super::receipt(&client, &id).await, receipt);
    stack.finish().await;
}
