use serde_json::json;

use super::*;
use crate::client::SseParser;

async fn ask(model: &FakeModel, body: Value) -> reqwest::Response {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("{}chat/completions", model.base_url()))
        .bearer_auth("sk-test")
        .json(&body)
        .send()
        .await
        .unwrap()
}

fn question(stream: bool) -> Value {
    json!({
        "model": "gpt-test", "stream": stream, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "[1] Tents last 5 years."}],
    })
}

async fn frames(response: reqwest::Response) -> Vec<String> {
    let bytes = response.bytes().await.unwrap();
    SseParser::default().push(&bytes).into_iter().map(|event| event.data).collect()
}

#[tokio::test]
async fn a_completion_comes_whole() {
    let model = FakeModel::start(Config::default()).await.unwrap();

    let body: Value = ask(&model, question(false)).await.json().await.unwrap();

    assert_eq!(body["choices"][0]["message"]["content"], "Tents last 5 years. [1]");
    assert_eq!(body["usage"], json!({"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}));
    let requests = model.requests();
    assert_eq!(requests[0].authorization.as_deref(), Some("Bearer sk-test"));
    assert_eq!(requests[0].body["model"], "gpt-test");
}

#[tokio::test]
async fn a_stream_is_framed_as_openai_does() {
    let model = FakeModel::start(Config::default()).await.unwrap();

    let frames = frames(ask(&model, question(true)).await).await;

    let (done, chunks) = frames.split_last().unwrap();
    assert_eq!(done, "[DONE]");
    let chunks: Vec<Value> = chunks.iter().map(|chunk| serde_json::from_str(chunk).unwrap()).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "Tents last 5 years. [1]");
    assert_eq!(chunks[chunks.len() - 2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[chunks.len() - 1]["choices"], json!([]));
    assert_eq!(chunks[chunks.len() - 1]["usage"]["total_tokens"], 10);
}

#[tokio::test]
async fn scripted_faults_come_in_order_and_then_end() {
    let model = FakeModel::start(Config { retry_after: 3, ..Config::default() }).await.unwrap();
    model.script([Fault::ServerError, Fault::RateLimited, Fault::Malformed]);

    assert_eq!(ask(&model, question(false)).await.status(), 500);
    let limited = ask(&model, question(false)).await;
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "3"));
    let broken = frames(ask(&model, question(true)).await).await;
    assert!(serde_json::from_str::<Value>(broken.last().unwrap()).is_err());
    assert_eq!(ask(&model, question(false)).await.status(), 200);
    assert_eq!(model.served(), 4);
}

#[tokio::test]
async fn an_answer_can_be_set() {
    let model = FakeModel::start(Config::default()).await.unwrap();
    model.configure(|config| config.answer = Some("Perhaps.".into()));

    let body: Value = ask(&model, question(false)).await.json().await.unwrap();

    assert_eq!(body["choices"][0]["message"]["content"], "Perhaps.");
}
