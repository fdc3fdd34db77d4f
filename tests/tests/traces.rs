//! One trace per message, from its request through every job to the webhook, at a collector that speaks OTLP.

mod outage;

use std::{collections::BTreeSet, time::Duration};

use loadtest::{
    client::{Client, Message, Submission, TextUpload},
    collector::{Collector, Span},
    fake_model::{self, FakeModel, Fault},
    receiver::Receiver,
};
use tests::{Stack, StackBuilder};

const LIMIT: Duration = Duration::from_secs(60);
const RETURNS: &str = "# Returns\n\nYou may return any unworn item within 60 days of delivery.";
const QUESTION: &str = "How many days do I have to return an unworn item?";

/// Processes that send their spans at once.
fn traced(endpoint: &str) -> StackBuilder {
    Stack::builder().env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "100")
}

async fn upload(client: &Client) {
    let returns = TextUpload {
        name: "returns.md".into(),
        content_type: "text/markdown".into(),
        text: RETURNS.into(),
        ..TextUpload::default()
    };
    let document = client.upload_text(&returns).await.unwrap();
    client.settled_document(&document.id, LIMIT).await.unwrap();
}

/// A caller's trace, whose id ends so.
fn traceparent(n: u8, sampled: bool) -> String {
    format!("00-{n:032x}-00f067aa0ba902b7-{:02x}", u8::from(sampled))
}

async fn ask(client: &Client, traceparent: &str) -> Message {
    let question = Submission { traceparent: Some(traceparent.to_owned()), ..Submission::new(QUESTION) };
    let message = client.submit(&question).await.unwrap().message;
    client.final_message(&message.id, LIMIT).await.unwrap()
}

/// Names of the spans below a parent, siblings by name: `parent(child,child(grandchild))`.
fn shape(spans: &[Span], parent: Option<&str>) -> String {
    let below = spans.iter().filter(|span| span.parent.as_deref() == parent);
    let mut names: Vec<String> = below
        .map(|span| match shape(spans, Some(&span.id)) {
            children if children.is_empty() => span.name.clone(),
            children => format!("{}({children})", span.name),
        })
        .collect();
    names.sort();
    names.join(",")
}

/// The spans of a caller's trace, once so many came.
async fn trace(collector: &Collector, n: u8, spans: usize) -> Vec<Span> {
    let id = format!("{n:032x}");
    let of = |all: &[Span]| all.iter().filter(|span| span.trace == id).count();
    collector.wait_until(LIMIT, |all| of(all) >= spans).await.unwrap_or_else(|error| panic!("trace {n}: {error}"));
    collector.trace(&id)
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// The parent that a caller's trace names.
const CALLER: Option<&str> = Some("00f067aa0ba902b7");

#[tokio::test]
async fn a_message_is_one_trace_from_its_request_to_the_webhook() {
    let (collector, model) =
        (Collector::start().await.unwrap(), FakeModel::start(fake_model::Config::default()).await.unwrap());
    let stack = traced(&collector.endpoint()).env("LLM_BASE_URL", model.base_url()).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    upload(&client).await;
    let receiver = Receiver::start().await.unwrap();
    client.create_endpoint(&receiver.url(), &["message.sent"]).await.unwrap();

    let message = ask(&client, &traceparent(1, true)).await;
    let spans = trace(&collector, 1, 11).await;
    let expected = "POST /v1/messages(ingest_message(retrieve(complete(chat,score_confidence(\
                    emit_event(deliver_webhook(POST)))),embed_query,search)))";
    assert_eq!(shape(&spans, CALLER), expected);

    let services: BTreeSet<(&str, &str)> =
        spans.iter().map(|span| (span.kind.as_str(), span.service.as_str())).collect();
    let expected = [("CLIENT", "metachat-worker"), ("CONSUMER", "metachat-worker"), ("INTERNAL", "metachat-worker")];
    assert!(expected.iter().all(|it| services.contains(it)) && services.contains(&("SERVER", "metachat-api")));
    assert_eq!(services.len(), 4, "{services:?}");
    let request = named(&spans, "POST /v1/messages");
    assert_eq!(
        (request.attribute("http.route"), request.attribute("http.response.status_code")),
        ("/v1/messages", "202")
    );
    assert_eq!(request.attribute("metachat.tenant.id"), tenant.id);
    let job = named(&spans, "complete");
    assert_eq!((job.attribute("metachat.job.outcome"), job.attribute("metachat.job.attempt")), ("done", "1"));
    assert!(job.attribute("messaging.message.id").starts_with("job_") && !job.failed, "{job:?}");
    assert!(job.attribute("metachat.job.wait_ms").parse::<f64>().unwrap() < 10_000.0, "{job:?}");
    assert!(named(&spans, "chat").attribute("gen_ai.usage.output_tokens").parse::<u32>().unwrap() > 0);

    let told = |span: &Span| format!("00-{}-{}-01", span.trace, span.id);
    let delivery = receiver.wait_for(1, LIMIT).await.unwrap().remove(0);
    assert_eq!(delivery.headers["traceparent"].to_str().unwrap(), told(named(&spans, "POST")));
    assert_eq!(model.requests()[0].traceparent.as_deref(), Some(told(named(&spans, "chat")).as_str()));

    // A document's trace; probes and metrics have none.
    let all = collector
        .wait_until(LIMIT, |all| all.iter().any(|span| span.name == "embed_document"))
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let document = &named(&all, "embed_document").trace;
    let expected = "POST /v1/documents(embed_document(add_to_index,embed_passages,read_document))";
    collector
        .wait_until(LIMIT, |_| shape(&collector.trace(document), None) == expected)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(!all.iter().any(|span| span.attribute("http.route").starts_with("/readyz")));

    // Neither what was written nor any secret.
    let answer = message.answer.unwrap().text.unwrap();
    let path = receiver.url().rsplit('/').next().unwrap().to_owned();
    for span in collector.spans() {
        let told = format!("{span:?}");
        for secret in
            [QUESTION, "unworn", answer.as_str(), &tenant.api_key.key, &tenant.callback_secret, &format!("/{path}")]
        {
            assert!(!told.contains(secret), "{told}");
        }
        assert!(span.events.is_empty(), "{told}");
    }
    let log = stack.api.as_ref().unwrap().log();
    assert!(log.contains(&format!("{:032x}", 1)), "log lines name the trace: {log}");
    for metrics in [format!("{}/metrics", stack.workers[0].probes), format!("{}/metrics", stack.api_url)] {
        let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
        assert!(!metrics.contains(r#"metachat_trace_spans_total{outcome="exported"} 0"#), "{metrics}");
        assert!(metrics.contains(r#"metachat_trace_spans_total{outcome="dropped"} 0"#), "{metrics}");
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_retry_and_a_message_that_waits_for_its_turn_stay_in_their_traces() {
    let config = fake_model::Config { latency: Duration::from_secs(1), ..fake_model::Config::default() };
    let (collector, model) = (Collector::start().await.unwrap(), FakeModel::start(config).await.unwrap());
    let stack = traced(&collector.endpoint()).env("LLM_BASE_URL", model.base_url()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client).await;

    model.script([Fault::ServerError]);
    let submit = async |n, conversation_id| {
        let traceparent = Some(traceparent(n, true));
        let question = Submission { traceparent, conversation_id, ..Submission::new(QUESTION) };
        client.submit(&question).await.unwrap().message
    };
    let first = submit(1, None).await;
    let second = submit(2, Some(first.conversation_id.clone())).await;
    client.final_message(&second.id, LIMIT).await.unwrap();

    // The failed run and its repetition, which the relay pushed, are siblings.
    let answered = "complete(chat,score_confidence(emit_event))";
    let retrieved = format!("retrieve(complete(chat),{answered},embed_query,search)");
    let spans = trace(&collector, 1, 11).await;
    let expected = format!("POST /v1/messages(ingest_message({retrieved}))");
    assert_eq!(shape(&spans, CALLER), expected);
    let mut runs: Vec<(&str, &str, bool)> = spans
        .iter()
        .filter(|span| span.name == "complete")
        .map(|span| (span.attribute("metachat.job.attempt"), span.attribute("metachat.job.outcome"), span.failed))
        .collect();
    runs.sort_unstable();
    assert_eq!(runs, [("1", "retry", true), ("2", "done", false)]);
    let log = stack.workers[0].process.log();
    assert!(log.contains(&format!("{:032x}", 1)), "the line of a failed run names the trace: {log}");

    // The turn that the first one's end gave it is the second one's own.
    let spans = trace(&collector, 2, 9).await;
    let expected = format!("POST /v1/messages(ingest_message,retrieve({answered},embed_query,search))");
    assert_eq!(shape(&spans, CALLER), expected);
    stack.finish().await;
}

#[tokio::test]
async fn a_trace_that_its_caller_does_not_record_is_passed_on_and_not_recorded() {
    let collector = Collector::start().await.unwrap();
    let stack = traced(&collector.endpoint()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    upload(&client).await;
    let receiver = Receiver::start().await.unwrap();
    client.create_endpoint(&receiver.url(), &["message.sent"]).await.unwrap();

    ask(&client, &traceparent(1, false)).await;
    let delivery = receiver.wait_for(1, LIMIT).await.unwrap().remove(0);
    assert_eq!(delivery.headers["traceparent"].to_str().unwrap(), traceparent(1, false));
    ask(&client, &traceparent(2, true)).await;
    trace(&collector, 2, 11).await;
    assert_eq!(collector.trace(&format!("{:032x}", 1)), []);
    stack.finish().await;
}
