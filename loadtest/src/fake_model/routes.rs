//! The routes of the model server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_stream::stream;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::completion::Completion;
use super::{Fault, Mind, Pace};

pub(super) fn router(mind: Arc<Mutex<Mind>>) -> Router {
    Router::new().route("/v1/models", get(models)).route("/v1/chat/completions", post(complete)).with_state(mind)
}

async fn models() -> Json<Value> {
    Json(json!({
        "object": "list",
        "data": [{"id": "fake-model", "object": "model", "created": 0, "owned_by": "loadtest"}],
    }))
}

async fn complete(State(mind): State<Arc<Mutex<Mind>>>, headers: HeaderMap, Json(request): Json<Value>) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (authorization, traceparent) = (header(AUTHORIZATION.as_str()), header("traceparent"));
    let (fault, pace, config, number) = {
        let mut mind = mind.lock().expect("no holder panics");
        let (fault, pace) = mind.receive(authorization, traceparent, request.clone());
        (fault, pace, mind.config.clone(), mind.served)
    };
    let completion = Completion::new(number, Utc::now().timestamp(), &request, config.answer.clone());
    sleep(pace.latency).await;
    match fault {
        Some(Fault::ServerError) => {
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "The fake model fails on purpose")
        }
        Some(Fault::RateLimited) => {
            let wait = [(RETRY_AFTER, config.retry_after.to_string())];
            let body = refusal(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "The fake model wants a rest");
            (wait, body).into_response()
        }
        Some(Fault::Malformed) if request["stream"] == true => broken_stream(&completion, pace),
        Some(Fault::Malformed) => {
            let whole = completion.whole().to_string();
            ([(CONTENT_TYPE, "application/json")], whole[..whole.len() / 2].to_owned()).into_response()
        }
        None if request["stream"] == true => {
            let include_usage = request["stream_options"]["include_usage"] == true;
            whole_stream(&completion, include_usage, pace)
        }
        None => {
            sleep(pace.pause * completion.tokens().len() as u32).await;
            Json(completion.whole()).into_response()
        }
    }
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": code, "param": null, "code": code}});
    (status, Json(body)).into_response()
}

fn whole_stream(completion: &Completion, include_usage: bool, pace: Pace) -> Response {
    let mut frames = vec![completion.opening().to_string()];
    frames.extend(completion.tokens().iter().map(|token| completion.piece(token).to_string()));
    frames.push(completion.closing().to_string());
    if include_usage {
        frames.push(completion.usage_chunk().to_string());
    }
    frames.push("[DONE]".to_owned());
    paced(frames, pace)
}

fn broken_stream(completion: &Completion, pace: Pace) -> Response {
    let half = &completion.tokens()[..completion.tokens().len() / 2];
    let mut frames = vec![completion.opening().to_string()];
    frames.extend(half.iter().map(|token| completion.piece(token).to_string()));
    frames.push(r#"{"choices":[{"index":0,"delta":{"cont"#.to_owned());
    paced(frames, pace)
}

fn paced(frames: Vec<String>, mut pace: Pace) -> Response {
    Sse::new(stream! {
        for frame in frames {
            yield Ok::<_, Infallible>(Event::default().data(frame));
            let pause = pace.next_pause();
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    })
    .into_response()
}
