//! Traces: one from an HTTP request through all of its jobs to the webhook.
//!
//! Spans are `tracing` spans of the target [`TARGET`], apart from those that log lines are written in: `RUST_LOG` does not switch
//! them, and a log line's text never gets into one. Where the environment names no endpoint ([`export`]), nobody is interested
//! in them and none is made. From job to job a trace is carried as its `traceparent` (W3C Trace Context, version 00), which a
//! process that exports nothing passes on as it came.

pub mod export;
mod settings;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub use export::{count_from_zero, install};

/// Target of the spans that are exported. Their fields are attributes: ids, counts and outcomes, never what anybody wrote, and
/// no secret.
pub const TARGET: &str = "metachat::trace";
/// Names of the spans that begin a process' part of a trace, and are joined to the rest of it by [`join`]. Spans of other names
/// are made within one of them only.
pub const ENTRIES: [&str; 2] = ["server", "consumer"];

/// Whether a span that begins here would be recorded, as far as it can be told before it is made.
pub fn wanted(parent: Option<&str>) -> bool {
    export::sampling().is_some_and(|sampling| match parent.and_then(parse) {
        Some(parent) => parent.is_sampled() || !sampling.follows_parent,
        None => true,
    })
}

/// Makes a span, one of [`ENTRIES`], the child of what came with a request or job. Returns it, or a disabled one when its trace is
/// not recorded, and the `traceparent` to pass on.
pub fn join(span: Span, parent: Option<&str>) -> (Span, Option<String>) {
    if span.is_disabled() {
        return (span, parent.map(str::to_owned));
    }
    if let Some(parent) = parent.and_then(parse) {
        // Fails only for spans that nobody exports.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
    let own = of(&span);
    let sampled = own.as_ref().is_some_and(SpanContext::is_sampled);
    (if sampled { span } else { Span::none() }, own.as_ref().map(write))
}

/// The `traceparent` that makes another's span a child of this one; `None` when this one is not recorded.
pub fn traceparent(span: &Span) -> Option<String> {
    if span.is_disabled() { None } else { of(span).as_ref().map(write) }
}

/// Marks a span as that of something that went wrong.
pub fn fail(span: &Span) {
    span.record("otel.status_code", "error");
}

/// The id of the trace, 32 hexadecimal digits, of a valid `traceparent`.
pub fn id(traceparent: &str) -> &str {
    traceparent.get(3..35).unwrap_or_default()
}

/// Whether a text is a `traceparent` of version 00. Later versions may be longer, and a fresh trace is no harm.
pub fn is_valid(text: &str) -> bool {
    parse(text).is_some()
}

fn of(span: &Span) -> Option<SpanContext> {
    let context = span.context();
    let own = context.span().span_context().clone();
    own.is_valid().then_some(own)
}

fn parse(text: &str) -> Option<SpanContext> {
    let lower_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let mut part = |length: usize| parts.next().filter(|part| part.len() == length).filter(lower_hex);
    part(2).filter(|version| *version == "00")?;
    let trace = TraceId::from_hex(part(32)?).ok()?;
    let span = SpanId::from_hex(part(16)?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(part(2)?, 16).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    (parts.next().is_none() && context.is_valid()).then_some(context)
}

fn write(context: &SpanContext) -> String {
    let sampled = u8::from(context.is_sampled());
    format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_a_valid_trace_is_taken_over() {
        let parsed = parse(TRACE).unwrap();
        assert!(parsed.is_sampled() && parsed.is_remote());
        assert_eq!(write(&parsed), TRACE);
        assert_eq!(id(TRACE), "4bf92f3577b34da6a3ce929d0e0e4736");
        for odd in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(!is_valid(odd), "{odd}");
        }
    }

    #[test]
    fn without_an_endpoint_a_trace_is_passed_on_and_no_span_is_made() {
        assert!(!wanted(Some(TRACE)) && !wanted(None));
        let (span, passed_on) = join(Span::none(), Some(TRACE));
        assert!(span.is_disabled() && traceparent(&span).is_none());
        assert_eq!(passed_on.as_deref(), Some(TRACE));
    }
}
