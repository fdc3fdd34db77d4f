//! What happened to a message, from one id.

use axum::{Json, extract::State};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    domain::{confidence::Confidence, ids::MessageId, message::Status},
    store::{
        Scope, answers,
        timeline::{self, DeliveryEntry, JobEntry},
    },
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::view::{Timings, Usage};
use crate::{
    extract::{Caller, PathId, scope::Read},
    openapi::schemas,
    problem::Problem,
    state::AppState,
};

#[derive(Debug, Serialize, ToSchema)]
pub struct Timeline {
    #[schema(value_type = String, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    message_id: MessageId,
    #[schema(schema_with = schemas::message_status)]
    status: Status,
    /// By time.
    entries: Vec<Entry>,
    /// The query, and the best chunks of each leg with their scores.
    #[schema(value_type = Option<Object>)]
    retrieval: Option<Value>,
    #[schema(schema_with = schemas::confidence)]
    confidence: Option<Confidence>,
    usage: Option<Usage>,
    timings: Timings,
}

/// A job or a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
struct Entry {
    at: DateTime<Utc>,
    /// `job` or `webhook`.
    kind: &'static str,
    /// The job's kind, or the event's type.
    #[schema(example = "retrieve")]
    name: String,
    /// From being due to the start of the last run.
    wait_ms: Option<f64>,
    run_ms: Option<f64>,
    /// Which run or try it was, from 1.
    attempt: i32,
    /// A job's: `done`, `cancelled`, `pending` or `dead`. A delivery's: `delivered` or `failed`.
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

/// Traces a message: every job with its wait, run, attempts and outcome, and every try to deliver its events.
#[utoipa::path(
    get, path = "/v1/messages/{id}/timeline", tag = "messages", operation_id = "trace_message",
    security(("tenant_key" = ["read"])),
    params(("id" = String, Path, example = "msg_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The message's timeline.", body = Timeline))
)]
pub async fn timeline(
    caller: Caller<Read>,
    State(state): State<AppState>,
    PathId(id): PathId<MessageId>,
) -> Result<Json<Timeline>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let message = answers::find(&mut tx, id).await?.ok_or_else(|| Problem::not_found("message"))?;
    let jobs = timeline::jobs(&mut tx, id).await?;
    let deliveries = timeline::deliveries(&mut tx, id).await?;
    tx.commit().await?;

    let mut entries: Vec<Entry> =
        jobs.into_iter().map(Entry::from).chain(deliveries.into_iter().map(Entry::from)).collect();
    entries.sort_by_key(|entry| entry.at);
    Ok(Json(Timeline {
        message_id: id,
        status: message.status,
        entries,
        retrieval: message.retrieval,
        confidence: message.confidence,
        usage: message.usage.map(Usage::from),
        timings: Timings::from(message.times),
    }))
}

impl From<JobEntry> for Entry {
    fn from(job: JobEntry) -> Self {
        Self {
            at: job.at,
            kind: "job",
            name: job.kind,
            wait_ms: job.wait_ms.map(|ms| ms.max(0.0)),
            run_ms: job.run_ms.map(|ms| ms.max(0.0)),
            // A pending job's next run has not ended yet.
            attempt: job.attempts + i32::from(job.outcome == "pending"),
            outcome: job.outcome,
            detail: job.error.map(|error| json!({ "error": error })),
        }
    }
}

impl From<DeliveryEntry> for Entry {
    fn from(delivery: DeliveryEntry) -> Self {
        let delivered = delivery.status.is_some_and(|status| (200..300).contains(&status));
        Self {
            // Noted when it ended; shown when it began, as jobs are.
            at: delivery.at - TimeDelta::milliseconds(delivery.duration_ms.into()),
            kind: "webhook",
            name: delivery.event_type,
            wait_ms: None,
            run_ms: Some(delivery.duration_ms.into()),
            attempt: delivery.attempt,
            outcome: if delivered { "delivered" } else { "failed" }.to_owned(),
            detail: Some(json!({
                "event_id": delivery.event,
                "endpoint_id": delivery.endpoint,
                "url": delivery.url,
                "status": delivery.status,
                "error": delivery.error,
            })),
        }
    }
}
