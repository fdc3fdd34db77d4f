//! A span as it came.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as wire};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Ids are in hexadecimal.
    pub trace: String,
    pub id: String,
    /// `None` where the trace begins.
    pub parent: Option<String>,
    pub name: String,
    /// `SERVER`, `CLIENT`, `CONSUMER`, `INTERNAL` …
    pub kind: String,
    /// Of the process it came from.
    pub service: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub duration: Duration,
    pub failed: bool,
    /// Values as text.
    pub attributes: BTreeMap<String, String>,
    /// Names of what happened within it.
    pub events: Vec<String>,
}

impl Span {
    /// The spans of a batch.
    pub(super) fn of(batch: ExportTraceServiceRequest) -> Vec<Self> {
        let mut spans = Vec::new();
        for from in batch.resource_spans {
            let mut resource = attributes(from.resource.map(|resource| resource.attributes).unwrap_or_default());
            let service = resource.remove("service.name").unwrap_or_default();
            let sent = from.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(sent.map(|span| Self::from_wire(span, &service)));
        }
        spans
    }

    fn from_wire(span: wire::Span, service: &str) -> Self {
        Self {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: Some(hex(&span.parent_span_id)).filter(|parent| !parent.is_empty()),
            kind: span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_owned(),
            service: service.to_owned(),
            start: span.start_time_unix_nano,
            duration: Duration::from_nanos(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)),
            failed: span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(|event| event.name).collect(),
            name: span.name,
        }
    }

    /// An attribute as text; empty without it.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value| match value {
        Value::StringValue(text) => text,
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: KeyValue| pair.value.and_then(|value| value.value).map(text).unwrap_or_default();
    pairs.into_iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}
