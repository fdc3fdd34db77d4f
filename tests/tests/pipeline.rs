//! A message in, a sourced answer out: through every kind of job, by polling, by stream and by callback.

use std::time::Duration;

use jobs::domain::ids::MessageId;
use loadtest::{
    client::{Client, Document, Message, MessageStatus, NewTenant, Search, Submission, TextUpload},
    fake_model::{Config, FakeModel, Fault},
    receiver::{Receiver, Signature},
};
use reqwest::Method;
use serde_json::json;
use tests::{Stack, eventually};

const LIMIT: Duration = Duration::from_secs(30);

const RETURNS: &str = "# Returns\n\nYou may return any unworn item within 60 days of delivery. We refund the full \
    price to your original payment method within 5 working days.\n\n## Sale items\n\nSale items can be returned \
    within 14 days of delivery for store credit.";
const SHIPPING: &str = "# Shipping\n\nStandard shipping to Germany takes 2 to 4 working days and costs 4.90 EUR. \
    Orders above 80 EUR ship free.";

async fn upload(client: &Client, name: &str, text: &str) -> Document {
    let upload = TextUpload {
        name: name.into(),
        content_type: "text/markdown".into(),
        text: text.into(),
        ..TextUpload::default()
    };
    let document = client.upload_text(&upload).await.expect("an upload");
    client.settled_document(&document.id, LIMIT).await.expect("a settled document")
}

async fn ask(client: &Client, text: &str, conversation: Option<&str>) -> Message {
    let conversation_id = conversation.map(str::to_owned);
    let submitted = client.submit(&Submission { conversation_id, ..Submission::new(text) }).await.expect("accepted");
    client.final_message(&submitted.message.id, LIMIT).await.expect("a final message")
}

#[tokio::test]
async fn a_question_is_answered_from_the_tenants_documents() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let returns = upload(&client, "returns.md", RETURNS).await;
    upload(&client, "shipping.md", SHIPPING).await;

    let message = ask(&client, "How many days do I have to return an unworn item?", None).await;
    assert_eq!(message.status, MessageStatus::Answered, "{message:?}");
    let answer = message.answer.unwrap();
    assert!(answer.text.as_deref().unwrap().contains("60 days"), "{answer:?}");
    assert_eq!(answer.sources[0].document_id, returns.id, "{answer:?}");
    assert!(answer.sources[0].similarity > 0.4);
    let confidence = answer.confidence.unwrap();
    assert!(confidence.score >= 0.6 && !confidence.escalated, "{confidence:?}");

    let timeline = client.timeline(&message.id).await.unwrap();
    for stage in ["ingest_message", "retrieve", "complete", "score_confidence"] {
        assert!(timeline.entries.iter().any(|entry| entry.name == stage), "{stage} is missing: {timeline:?}");
    }

    let follow_up = ask(&client, "And for sale items?", Some(&message.conversation_id)).await;
    assert!(follow_up.answer.unwrap().text.unwrap().contains("14 days"));
    stack.finish().await;
}

#[tokio::test]
async fn what_the_documents_do_not_hold_is_escalated_honestly() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let message = ask(&client, "Can you recommend a good dentist in Lisbon?", None).await;
    assert_eq!(message.status, MessageStatus::Escalated);
    let answer = message.answer.unwrap();
    assert!(answer.text.unwrap().contains("could not find this in the documents"));
    let confidence = answer.confidence.unwrap();
    assert_eq!((confidence.level.as_str(), confidence.escalated), ("very_low", true));
    assert_eq!(stack.database.count("select count(*) from escalations where reason = 'no_answer'").await, 1);

    let person = ask(&client, "I want to talk to a human please", Some(&message.conversation_id)).await;
    assert_eq!(person.status, MessageStatus::Escalated);
    assert_eq!(stack.database.count("select count(*) from escalations").await, 1, "one open per conversation");
    stack.finish().await;
}

/// Of ten, one at least: a busy machine may hold the pieces of some up.
#[tokio::test]
async fn an_answer_that_is_whole_at_once_is_written_with_its_draft() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let mut together = 0;
    for _ in 0..10 {
        let question = Submission::new("How many days do I have to return an unworn item?");
        let id = client.submit(&question).await.unwrap().message.id;
        client.final_message(&id, LIMIT).await.unwrap();
        let commits: i64 = sqlx::query_scalar(
            "select count(distinct xmin::text) from message_stream
             where message_id = $1 and (event = 'delta' or data->>'status' = 'scoring')",
        )
        .bind(id.parse::<MessageId>().unwrap().uuid())
        .fetch_one(stack.database.owner().await)
        .await
        .unwrap();
        together += usize::from(commits == 1);
    }
    assert!(together >= 1, "{together} of 10");
    stack.finish().await;
}

#[tokio::test]
async fn the_same_answer_comes_by_poll_stream_and_callback() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let receiver = Receiver::start().await.unwrap();
    receiver.set_secret(&tenant.callback_secret);

    let submission = Submission {
        callback_url: Some(receiver.url()),
        ..Submission::new("How many days do I have to return an unworn item?")
    };
    let id = client.submit(&submission).await.unwrap().message.id;
    let events = client.stream_to_end(&id, None, LIMIT).await.unwrap();
    let polled = client.final_message(&id, LIMIT).await.unwrap().answer.unwrap().text.unwrap();

    let of = |kind: &str| events.iter().filter(|event| event.event == kind).collect::<Vec<_>>();
    let streamed: String = of("delta")
        .iter()
        .map(|event| event.json::<serde_json::Value>().unwrap()["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(streamed, polled);
    assert_eq!(of("done").len(), 1);
    assert!(of("status").len() >= 3, "{events:?}");

    let resumed = client.stream_to_end(&id, events[1].id.as_deref(), LIMIT).await.unwrap();
    let ids = |events: &[loadtest::client::SseEvent]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&resumed), ids(&events[2..]), "resumes without a gap or a repeat");

    let deliveries = receiver.wait_for(1, LIMIT).await.unwrap();
    let body = &deliveries[0].body;
    assert_eq!(body["type"], "message.sent");
    assert_eq!(body["data"]["text"], polled);
    assert_eq!(body["data"]["message_id"], id);
    assert_eq!(deliveries[0].signature, Signature::Valid);
    stack.finish().await;
}

#[tokio::test]
async fn waiting_on_submit_answers_at_once() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let wait = Some(Duration::from_secs(20));
    let submitted =
        client.submit(&Submission { wait, ..Submission::new("May I return an unworn item?") }).await.unwrap();
    assert_eq!(submitted.status, 200);
    assert_eq!(submitted.message.status, MessageStatus::Answered);
    stack.finish().await;
}

#[tokio::test]
async fn a_conversations_messages_are_answered_in_order() {
    let stack = Stack::builder().workers(2).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let first = client.submit(&Submission::new("How long may I return an item?")).await.unwrap().message;
    let mut ids = vec![first.id];
    for n in 0..9 {
        let text = format!("How long may I return sale item number {n}?");
        let submission = Submission { conversation_id: Some(first.conversation_id.clone()), ..Submission::new(text) };
        ids.push(client.submit(&submission).await.unwrap().message.id);
    }
    for id in &ids {
        assert!(client.final_message(id, LIMIT).await.unwrap().status.is_final());
    }
    let overlapping = stack
        .database
        .count(
            "select count(*) from messages a join messages b
               on a.conversation_id = b.conversation_id and a.seq < b.seq
             where a.role = 'customer' and b.role = 'customer' and b.turn_at < a.finished_at",
        )
        .await;
    assert_eq!(overlapping, 0, "a later message had the turn before an earlier one ended");
    stack.finish().await;
}

#[tokio::test]
async fn search_finds_what_the_pipeline_would_and_keeps_tenants_apart() {
    let stack = Stack::start().await;
    let (_, ours) = stack.tenant("Ours").await;
    let (_, theirs) = stack.tenant("Theirs").await;
    let returns = upload(&ours, "returns.md", RETURNS).await;
    upload(&ours, "shipping.md", SHIPPING).await;
    let query = |query: &str| Search { query: query.into(), ..Search::default() };

    let hits = ours.search(&query("how long can I send things back")).await.unwrap();
    assert_eq!(hits[0].document_id, returns.id, "{hits:?}");
    assert!(theirs.search(&query("returns")).await.unwrap().is_empty());
    let reaching_over = Search { document_ids: vec![returns.id.clone()], ..query("returns") };
    assert!(theirs.search(&reaching_over).await.unwrap().is_empty());

    ours.delete_document(&returns.id).await.unwrap();
    let hits = ours.search(&query("how long can I send things back")).await.unwrap();
    assert!(hits.iter().all(|hit| hit.document_id != returns.id), "a deleted document is not shown");
    eventually("the row is gone", LIMIT, async || {
        (stack.database.count("select count(*) from document_versions where name = 'returns.md'").await == 0)
            .then_some(())
    })
    .await;
    stack.finish().await;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_fails_with_a_reason() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let upload = loadtest::client::FileUpload {
        file_name: "broken.pdf".into(),
        content_type: "application/pdf".into(),
        bytes: b"%PDF-1.7\nnot really".to_vec(),
        ..Default::default()
    };
    let document = client.upload_file(upload).await.unwrap();
    let settled = client.settled_document(&document.id, LIMIT).await.unwrap();
    assert_eq!(settled.status, loadtest::client::DocumentStatus::Failed);
    assert!(!settled.reason.unwrap().is_empty());
    assert_eq!(stack.database.count("select count(*) from events where type = 'document.failed'").await, 1);
    stack.finish().await;
}

#[tokio::test]
async fn an_openai_compatible_model_is_streamed_retried_and_paid_for() {
    let model = FakeModel::start(Config::default()).await.unwrap();
    model.script([Fault::ServerError]);
    let stack = Stack::builder()
        .env("LLM_BASE_URL", model.base_url())
        .env("LLM_API_KEY", "sk-test")
        .env("LLM_MODEL", "gpt-4o-mini")
        .start()
        .await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client, "returns.md", RETURNS).await;
    let message = ask(&client, "How many days do I have to return an unworn item?", None).await;
    assert_eq!(message.status, MessageStatus::Answered, "{message:?}");
    let answer = message.answer.unwrap();
    assert!(answer.text.unwrap().contains("[1]"));
    let usage = answer.usage.unwrap();
    assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0 && usage.cost_usd > 0.0, "{usage:?}");
    assert!(model.requests().len() >= 2, "the failed call was tried again");
    stack.finish().await;
}

#[tokio::test]
async fn the_plans_allowance_is_exact_under_concurrency() {
    let stack = Stack::start().await;
    let limits = Some(json!({ "messages": 5 }));
    let (_, client) = stack.tenant_with(NewTenant { name: "Small".into(), limits, ..NewTenant::default() }).await;
    let submits = (0..12).map(|_| {
        let client = &client;
        async move {
            client
                .call(
                    Method::POST,
                    "/v1/messages",
                    Some(&json!({ "text": "Hello, are you there?" })),
                )
                .await
        }
    });
    let mut accepted = 0;
    for reply in futures::future::join_all(submits).await {
        match reply {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error.status(), Some(402), "{error}"),
        }
    }
    assert_eq!(accepted, 5);
    stack.finish().await;
}

#[tokio::test]
async fn one_idempotency_key_makes_one_message() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let submission = Submission { idempotency_key: Some("order-17".into()), ..Submission::new("Where is my parcel?") };
    let mut ids = std::collections::HashSet::new();
    for _ in 0..3 {
        let replies = futures::future::join_all((0..10).map(|_| client.submit(&submission))).await;
        for reply in replies {
            match reply {
                Ok(submitted) => {
                    ids.insert(submitted.message.id);
                }
                Err(error) => assert_eq!(error.status(), Some(409), "{error}"),
            }
        }
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(stack.database.count("select count(*) from messages where role = 'customer'").await, 1);
    let other = Submission { text: "Another question".into(), ..submission };
    assert_eq!(client.submit(&other).await.unwrap_err().status(), Some(422));
    stack.finish().await;
}

#[tokio::test]
async fn a_cancelled_message_is_never_answered_and_the_conversation_goes_on() {
    let slow = Config { latency: Duration::from_secs(2), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let first = client.submit(&Submission::new("How long may I return an item?")).await.unwrap().message;
    let conversation_id = Some(first.conversation_id.clone());
    let second = Submission { conversation_id, ..Submission::new("And how long does shipping take?") };
    let second = client.submit(&second).await.unwrap().message;
    eventually("the model is asked", LIMIT, async || (!model.requests().is_empty()).then_some(())).await;

    let cancel = format!("/v1/messages/{}/cancel", first.id);
    client.call(Method::POST, &cancel, None).await.expect("cancelled while its completion runs");
    assert_eq!(client.call(Method::POST, &cancel, None).await.unwrap_err().status(), Some(409));
    assert!(client.final_message(&second.id, LIMIT).await.unwrap().answer.is_some(), "the next one has its turn");
    stack.idle(LIMIT).await;
    assert_eq!(client.message(&first.id, None).await.unwrap().status, MessageStatus::Cancelled);
    let replies = "select count(*) from messages where role = 'assistant'";
    assert_eq!(stack.database.count(replies).await, 1, "only the second was answered");
    let after_the_end = "select count(*) from message_stream late join message_stream done
        on done.message_id = late.message_id and done.event = 'done' and late.position > done.position";
    assert_eq!(stack.database.count(after_the_end).await, 0, "nothing follows the end of a stream");
    stack.finish().await;
}

#[tokio::test]
async fn a_cancelled_message_stops_its_model() {
    // The model thinks for a minute before its first word.
    let slow = Config { latency: Duration::from_secs(60), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let accepted =
        client.submit(&Submission::new("How many days do I have to return a jacket?")).await.unwrap().message;
    eventually("the model is asked", LIMIT, async || (!model.requests().is_empty()).then_some(())).await;
    client.call(Method::POST, &format!("/v1/messages/{}/cancel", accepted.id), None).await.unwrap();
    let running = "select count(*) from jobs where kind = 'complete'";
    eventually("the completion is over", Duration::from_secs(5), async || {
        (stack.database.count(running).await == 0).then_some(())
    })
    .await;
    assert_eq!(
        stack
            .database
            .count("select count(*) from job_history where kind = 'complete' and outcome = 'cancelled'")
            .await,
        1
    );
    stack.finish().await;
}
