//! Export of spans by OTLP (`http/protobuf`), set up by OpenTelemetry's own variables and off without an endpoint.
//!
//! A span that ended goes into a bounded buffer; a thread of its own sends batches. Whatever becomes of the collector, nobody
//! waits: spans beyond the buffer are dropped, batches that cannot be sent are lost, and both are counted.

use std::{
    env,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor},
};
use tracing::{Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{ENTRIES, TARGET, settings::Settings};

/// Longest wait for the last batches when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two log lines about batches that were not sent.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How spans end, as counted.
const OUTCOMES: [&str; 3] = ["exported", "dropped", "failed"];

/// How it is decided which traces are recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sampling {
    /// A trace that its caller does not record is not recorded here.
    pub follows_parent: bool,
}

static SAMPLING: OnceLock<Sampling> = OnceLock::new();

/// `None` while no span is exported.
pub(super) fn sampling() -> Option<Sampling> {
    SAMPLING.get().copied()
}

/// Log lines as the process writes them.
pub type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// The process' exporter, if it has one.
#[must_use = "spans of the last seconds are lost without a flush"]
pub struct Export(Option<(SdkTracerProvider, Arc<AtomicUsize>)>);

/// Installs the process' subscriber, once: log lines as `filter` says and, where the environment asks for it, spans under the name
/// of this service. Fails when the environment asks for what cannot be done; log lines are written all the same.
pub fn install(service: &'static str, lines: Lines, filter: EnvFilter) -> Result<Export, String> {
    let settings = Settings::read(|name| env::var(name).ok());
    let exporter = settings.and_then(|settings| settings.map(|it| connect(&it, service)).transpose());
    let (exporter, problem) = match exporter {
        Ok(exporter) => (exporter, None),
        Err(problem) => (None, Some(problem)),
    };
    let spans = exporter.as_ref().map(|(provider, _)| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("metachat"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Spans)
    });
    let lines = lines.with_filter(filter.and(filter_fn(|metadata| metadata.target() != TARGET)));
    tracing_subscriber::registry().with(lines).with(spans).init();
    problem.map_or(Ok(Export(exporter)), Err)
}

impl Export {
    /// Sends what waits, for five seconds at most.
    pub async fn flush(self) {
        let Some((provider, waiting)) = self.0 else { return };
        // The SDK blocks its caller.
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(waiting = waiting.load(Ordering::Relaxed), "the last spans were not exported");
        }
    }
}

/// Puts what is counted at zero, so that the first one of a process shows as an increase.
pub fn count_from_zero() {
    for outcome in OUTCOMES {
        count(outcome, 0);
    }
}

fn count(outcome: &'static str, spans: usize) {
    metrics::counter!("metachat_trace_spans_total", "outcome" => outcome).increment(spans as u64);
}

/// The exporter as the environment describes it, and how many spans wait for it.
fn connect(settings: &Settings, service: &'static str) -> Result<(SdkTracerProvider, Arc<AtomicUsize>), String> {
    let otlp = OtlpExporter::builder().with_http().build().map_err(|error| format!("OTEL_EXPORTER_OTLP: {error}"))?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Counted { next: otlp, waiting: waiting.clone(), complained: Mutex::default() };
    let batches = BatchConfigBuilder::default().with_max_queue_size(settings.buffer).build();
    let next = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string()),
    ]);
    if !settings.named {
        resource = resource.with_service_name(service);
    }
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        .with_span_processor(Bounded { next, waiting: waiting.clone(), most: settings.buffer })
        .build();
    // Installed once per process.
    let _ = SAMPLING.set(Sampling { follows_parent: settings.follows_parent });
    Ok((provider, waiting))
}

/// Lets the spans that are exported through: those that begin a process' part of a trace, and those within one.
struct Spans;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Filter<S> for Spans {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        metadata.target() == TARGET
            && metadata.is_span()
            && (ENTRIES.contains(&metadata.name()) || context.lookup_current().is_some())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == TARGET && metadata.is_span() { Interest::sometimes() } else { Interest::never() }
    }
}

/// Drops and counts what the buffer has no place for, which the SDK would drop uncounted.
#[derive(Debug)]
struct Bounded {
    next: BatchSpanProcessor,
    /// Spans in the buffer.
    waiting: Arc<AtomicUsize>,
    most: usize,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.most {
            return self.next.on_end(span);
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        count("dropped", 1);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

/// Counts what becomes of the batches.
#[derive(Debug)]
struct Counted {
    next: OtlpExporter,
    waiting: Arc<AtomicUsize>,
    /// When the log last told of a batch that was not sent.
    complained: Mutex<Option<Instant>>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let sent = self.next.export(batch).await;
        count(if sent.is_ok() { "exported" } else { "failed" }, spans);
        if let Err(error) = &sent {
            let mut complained = self.complained.lock().expect("not poisoned");
            if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
                *complained = Some(Instant::now());
                tracing::warn!(%error, spans, "spans were not exported");
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}
