//! Stripe's webhook: stored once, then acknowledged, then worked on.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use chrono::Utc;
use jobs::{
    domain::{plan::Share, stripe},
    kinds::process_stripe_event::ProcessStripeEvent,
    queue::Work,
    store::{SystemTx, stripe_events},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    extract::Traceparent,
    facts::Facts,
    problem::{Document, Kind, Problem},
    state::AppState,
};

/// Largest event.
pub const MAX_BODY: usize = 1024 * 1024;

/// What is needed of an event before it is stored; the job reads the rest.
#[derive(Deserialize)]
struct Identity {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StripeReceipt)]
pub struct Received {
    received: bool,
    /// Whether the event was received before.
    duplicate: bool,
}

/// Receives an event of Stripe. The response is 200 after the event is durable; a duplicate changes nothing.
#[utoipa::path(
    post, path = "/webhooks/stripe", tag = "billing", operation_id = "receive_stripe_event",
    security(()),
    params(("Stripe-Signature" = String, Header, description = "`t=…,v1=…` over the raw body.")),
    request_body(content = Object, description = "The event, as Stripe signed it."),
    responses(
        (status = 200, description = "Durable.", body = Received),
        (status = 400, description = "No valid signature, or not an event.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn receive(
    State(state): State<AppState>,
    trace: Traceparent,
    Extension(facts): Extension<Facts>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Received>, Problem> {
    if state.stripe_secrets.is_empty() {
        return Err(Problem::new(Kind::NotConfigured).detail("STRIPE_WEBHOOK_SECRETS is not set."));
    }
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::PayloadTooLarge),
        _ => Problem::new(Kind::MalformedRequest).cause(refused),
    })?;
    let signature = headers.get("stripe-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    stripe::verify(signature, &body, &state.stripe_secrets, Utc::now())
        .map_err(|bad| Problem::new(Kind::BadSignature).detail(format!("{bad}.")))?;
    facts.vouch();

    let malformed = |error: serde_json::Error| Problem::new(Kind::MalformedJson).detail(error.to_string());
    let payload: Value = serde_json::from_slice(&body).map_err(malformed)?;
    let Identity { id, event_type } = Identity::deserialize(&payload).map_err(malformed)?;

    let trace = Some(trace.to_string());
    let mut work = Work::<SystemTx>::begin(&state.database, &state.dispatcher, None, Share::PLATFORM, trace).await?;
    let stored = stripe_events::insert(work.tx(), &id, &event_type, &payload).await?;
    if stored {
        work.enqueue(&ProcessStripeEvent { event: id })?;
    }
    work.commit().await?;
    Ok(Json(Received { received: true, duplicate: !stored }))
}
