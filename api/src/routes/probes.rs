//! Probes and metrics.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{dependencies, state::AppState};

/// Routes that are answered whatever else is refused.
pub const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

#[derive(Debug, Serialize, ToSchema)]
pub struct Alive {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Answers while the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "is_alive", security(()),
    responses((status = 200, description = "Alive.", body = Alive))
)]
pub async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ready`, `draining` or `unavailable`.
    #[schema(example = "ready")]
    status: &'static str,
    /// `up` or `down`. Needed.
    postgres: &'static str,
    /// `up` or `down`. Not needed to accept work, which the relay dispatches later; answers are slower without it.
    redis: &'static str,
}

/// Answers 200 while requests can be served.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "is_ready", security(()),
    responses(
        (status = 200, description = "Ready.", body = Ready),
        (status = 503, description = "Draining, or Postgres is away.", body = Ready),
    )
)]
pub async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Ready>) {
    let (postgres, redis) = tokio::join!(dependencies::postgres(&state), dependencies::redis(&state));
    let (code, status) = match (&postgres, state.draining.is_cancelled()) {
        (_, true) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (Err(reason), false) => {
            tracing::debug!(reason, "Postgres is down");
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
        (Ok(()), false) => (StatusCode::OK, "ready"),
    };
    let word = |up: bool| if up { "up" } else { "down" };
    (code, Json(Ready { status, postgres: word(postgres.is_ok()), redis: word(redis.is_ok()) }))
}

/// The process' metrics, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "read_metrics", security(()),
    responses((status = 200, description = "Metrics.", content_type = "text/plain", body = String))
)]
pub async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    metrics_process::Collector::default().collect();
    let (open, idle) = state.database.pool_size();
    metrics::gauge!("metachat_postgres_connections", "state" => "idle").set(idle as f64);
    metrics::gauge!("metachat_postgres_connections", "state" => "busy").set((open - idle) as f64);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render())
}
