//! An OpenTelemetry collector to develop against: takes spans by OTLP (`http/protobuf`), keeps them, and draws traces as trees.

mod span;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

use crate::duration::parse_millis;
use crate::server::Server;
pub use span::Span;
pub use tree::{draw, tell};

/// Largest batch, in bytes: what the exporter of the SDK sends at most.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Spans kept; more are refused, so that a load beside it does not fill the memory.
const MAX_SPANS: usize = 200_000;
/// How often traces that settled are looked for.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 picks a free one
    #[arg(long, default_value = "127.0.0.1:4318")]
    pub bind: SocketAddr,
    /// Milliseconds without a further span after which a trace is drawn: processes send every five seconds
    #[arg(long = "settle-ms", default_value = "6000", value_parser = parse_millis)]
    pub settle: Duration,
}

/// A running collector; dropping it stops the server.
#[derive(Debug)]
pub struct Collector {
    server: Server,
    kept: Kept,
}

/// A watch channel is both the store and the wake-up of those who wait.
type Kept = Arc<watch::Sender<Vec<Span>>>;

/// What was waited for did not come; the traces that did come are inside.
#[derive(Debug, thiserror::Error)]
#[error("not within {limit:?}; there is\n{drawn}")]
pub struct NotSeen {
    limit: Duration,
    drawn: String,
}

impl Collector {
    /// Starts on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        Self::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn bind(bind: SocketAddr) -> io::Result<Self> {
        let kept = Kept::default();
        let routes = Router::new().route("/v1/traces", post(receive)).with_state(kept.clone());
        let server = Server::start(bind, routes.layer(DefaultBodyLimit::max(MAX_BODY))).await?;
        Ok(Self { server, kept })
    }

    /// The value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Every span that came, in the order of coming.
    pub fn spans(&self) -> Vec<Span> {
        self.kept.borrow().clone()
    }

    /// The spans of one trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.kept.borrow().iter().filter(|span| span.trace == id).cloned().collect()
    }

    /// Waits until the spans are as wanted, and returns them.
    pub async fn wait_until(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[Span]) -> bool,
    ) -> Result<Vec<Span>, NotSeen> {
        let mut kept = self.kept.subscribe();
        let waited = timeout(limit, kept.wait_for(|spans| wanted(spans))).await;
        match waited {
            Ok(Ok(spans)) => Ok(spans.clone()),
            _ => Err(NotSeen { limit, drawn: draw(&self.spans(), tell) }),
        }
    }
}

async fn receive(State(kept): State<Kept>, body: Bytes) -> Response {
    let Ok(batch) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let spans = Span::of(batch);
    if kept.borrow().len() + spans.len() > MAX_SPANS {
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    kept.send_modify(|kept| kept.extend(spans));
    ([(CONTENT_TYPE, "application/x-protobuf")], ExportTraceServiceResponse::default().encode_to_vec()).into_response()
}

/// Draws each trace when it has settled, until Ctrl-C.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let collector = Collector::bind(args.bind).await?;
    println!("collecting traces; start api and workers with OTEL_EXPORTER_OTLP_ENDPOINT={}", collector.endpoint());
    let mut traces: BTreeMap<String, (Instant, Vec<Span>)> = BTreeMap::new();
    let mut look = interval(LOOK);
    let mut drawn = 0;
    loop {
        tokio::select! {
            _ = look.tick() => {
                for span in collector.kept.send_replace(Vec::new()) {
                    let (at, spans) = traces.entry(span.trace.clone()).or_insert((Instant::now(), Vec::new()));
                    *at = Instant::now();
                    spans.push(span);
                }
                let settled = traces.extract_if(.., |_, (at, _)| at.elapsed() >= args.settle);
                for (id, (_, spans)) in settled {
                    drawn += 1;
                    println!("\n{id}\n{}", draw(&spans, tell));
                }
            }
            signal = tokio::signal::ctrl_c() => {
                signal?;
                traces.iter().for_each(|(id, (_, spans))| println!("\n{id}\n{}", draw(spans, tell)));
                println!("{} traces", drawn + traces.len());
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}
