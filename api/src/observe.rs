//! The outermost middleware: each request gets an id, its client, a span, a line in the log, an entry in the tenant's log
//! of requests, and its place in the metrics.

use std::time::{Duration, Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use jobs::{domain::ids::RequestLogId, store::api_logs::NewEntry, trace};
use tracing::{Instrument, Span, field};

use crate::{
    extract::Traceparent,
    facts::Facts,
    proxies::Peer,
    request_id::{self, RequestId},
    routes::probes,
    state::AppState,
};

/// The route of a request that matches none; a path given by a client is no label.
const UNMATCHED: &str = "unmatched";

pub async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let Peer(peer) = *request.extensions().get().expect("every connection has a peer");
    let facts = Facts::new(state.proxies.client(peer, request.headers()));
    request.extensions_mut().insert(facts.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let given = Traceparent::given(request.headers());
    let (traced, joined) = trace::join(span_of(&method, &route, given), given);
    let traceparent = Traceparent::or_fresh(joined);
    let logged = tracing::info_span!(
        "request",
        request_id = %id,
        %method,
        route,
        client = %facts.client().address,
        trace_id = traceparent.id(),
        tenant = field::Empty,
    );
    request.extensions_mut().insert(traceparent);

    let in_flight = InFlight::enter();
    let mut response = async {
        let response = next.run(request).await;
        let (status, ms) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1000.0);
        match is_probe(&route) {
            true => tracing::debug!(status, ms, "answered"),
            false => tracing::info!(status, ms, "answered"),
        }
        response
    }
    .instrument(logged)
    .instrument(traced.clone())
    .await;
    drop(in_flight);
    let status = response.status();
    traced.record("http.response.status_code", status.as_u16());
    traced.record("metachat.tenant.id", facts.caller().0.map(field::display));
    if status.is_server_error() {
        trace::fail(&traced);
    }
    drop(traced);

    let took = started.elapsed();
    if !is_probe(&route) {
        state.api_log.record(entry(&facts, &id, known(&method), &route, status, took));
    }
    metrics::histogram!(
        "metachat_http_request_seconds",
        "method" => known(&method), "route" => route, "status" => class(status)
    )
    .record(took.as_secs_f64());
    response.headers_mut().insert(request_id::HEADER, id.header_value());
    response
}

/// The span of a request; none for probes, which come every few seconds and tell nothing.
fn span_of(method: &Method, route: &str, given: Option<&str>) -> Span {
    if is_probe(route) || !trace::wanted(given) {
        return Span::none();
    }
    let method = known(method);
    tracing::info_span!(
        target: trace::TARGET,
        "server",
        "otel.name" = format!("{method} {route}"),
        "otel.kind" = "server",
        "otel.status_code" = field::Empty,
        "http.request.method" = method,
        "http.route" = route,
        "http.response.status_code" = field::Empty,
        "metachat.tenant.id" = field::Empty,
    )
}

/// The method as a label: a client may invent any, and each would be a time series of its own.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn is_probe(route: &str) -> bool {
    probes::PATHS.contains(&route)
}

fn entry(
    facts: &Facts,
    id: &RequestId,
    method: &'static str,
    route: &str,
    status: StatusCode,
    took: Duration,
) -> NewEntry {
    let (tenant, key) = facts.caller();
    NewEntry {
        id: RequestLogId::generate(),
        tenant,
        key,
        request_id: id.to_string(),
        method,
        route: route.to_owned(),
        status: status.as_u16(),
        duration_us: i64::try_from(took.as_micros()).unwrap_or(i64::MAX),
    }
}

const fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// Counts a request while it is worked on, however it ends.
struct InFlight;

impl InFlight {
    fn enter() -> Self {
        metrics::gauge!("metachat_http_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("metachat_http_requests_in_flight").decrement(1.0);
    }
}
