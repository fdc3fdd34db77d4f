//! Schemas of the domain's types, which know nothing of HTTP.

use std::ops::RangeInclusive;

use jobs::domain::{
    access::{Permission, Role},
    audit::Action,
    channel::ChannelType,
    document::{MAX_TAG_CHARS, MAX_TAGS},
    event::EventType,
    message::Status,
};
use serde_json::{Value, json};
use utoipa::openapi::{
    ArrayBuilder, Object, ObjectBuilder, Schema,
    schema::{AdditionalProperties, SchemaType, Type},
};

use crate::problem::MAX_LANGUAGE_CHARS;

fn names(names: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(names)).build()
}

fn of(kind: Type) -> Object {
    ObjectBuilder::new().schema_type(SchemaType::new(kind)).build()
}

pub fn message_status() -> Object {
    names(Status::ALL.map(Status::as_str))
}

pub fn event_type() -> Object {
    names(EventType::ALL.iter().map(|kind| kind.as_str()))
}

pub fn event_types() -> Schema {
    ArrayBuilder::new().items(event_type()).build().into()
}

pub fn scopes() -> Schema {
    ArrayBuilder::new()
        .items(names(Permission::ALL.map(Permission::as_str)))
        .min_items(Some(1))
        .examples([json!(["read"])])
        .build()
        .into()
}

pub fn channel_type() -> Object {
    names(ChannelType::ALL.map(ChannelType::as_str))
}

pub fn role() -> Object {
    names(Role::ALL.map(Role::as_str))
}

/// A role, or null for the one that is.
pub fn changed_role() -> Object {
    let roles = Role::ALL.map(|role| Value::from(role.as_str())).into_iter().chain([Value::Null]);
    or_null(Type::String).enum_values(Some(roles)).build()
}

pub fn audit_action() -> Object {
    names(Action::ALL.iter().map(|action| action.as_str()))
}

/// May be null, which is the same as absent.
fn or_null(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::from_iter([kind, Type::Null]))
}

/// The text form of an id.
fn id(prefix: &str) -> Object {
    let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    text.pattern(Some(format!("^{prefix}_[0-9a-fA-F]{{32}}$"))).build()
}

pub fn document_ids() -> Schema {
    ArrayBuilder::new().items(id("doc")).max_items(Some(crate::routes::search::MAX_FILTERS)).build().into()
}

fn text(length: RangeInclusive<usize>) -> ObjectBuilder {
    let text = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    text.min_length(Some(*length.start())).max_length(Some(*length.end()))
}

fn tags(most: usize) -> Schema {
    ArrayBuilder::new().items(text(1..=MAX_TAG_CHARS)).max_items(Some(most)).build().into()
}

pub fn document_tags() -> Schema {
    tags(MAX_TAGS)
}

pub fn searched_tags() -> Schema {
    tags(crate::routes::search::MAX_FILTERS)
}

pub fn searched_languages() -> Schema {
    let tag = text(1..=MAX_LANGUAGE_CHARS).pattern(Some("^[A-Za-z0-9-]+$"));
    ArrayBuilder::new().items(tag).max_items(Some(crate::routes::search::MAX_FILTERS)).build().into()
}

pub fn document_status() -> Object {
    names(["pending", "processing", "ready", "failed", "deleting"])
}

pub fn conversation_status() -> Object {
    names(["open", "escalated", "resolved"])
}

pub fn plan() -> Object {
    names(["free", "starter", "pro"])
}

/// Each optional; one that is absent is the plan's.
pub fn limits() -> Object {
    let names =
        ["conversations", "documents", "team", "messages", "api_calls", "requests_per_minute", "messages_per_minute"];
    names
        .into_iter()
        .fold(ObjectBuilder::new(), |limits, name| limits.property(name, of(Type::Integer)))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .examples([json!({ "messages": 5000 })])
        .build()
}

pub fn settings() -> Object {
    let closed = || Some(AdditionalProperties::FreeForm(false));
    let model = ObjectBuilder::new()
        .property("provider", names(["auto", "extractive", "openai"]))
        .property("model", or_null(Type::String))
        .property("temperature", or_null(Type::Number))
        .property("max_tokens", or_null(Type::Integer))
        .additional_properties(closed());
    let confidence = ObjectBuilder::new()
        .property("mode", names(["strict", "standard", "lenient"]))
        .property("high_stakes", ArrayBuilder::new().items(of(Type::String)))
        .additional_properties(closed());
    ObjectBuilder::new()
        .property("brand", or_null(Type::String))
        .property("tone", or_null(Type::String))
        .property("prompt", or_null(Type::String))
        .property("model", model)
        .property("confidence", confidence)
        .additional_properties(closed())
        .examples([json!({ "brand": "Nordlys Outdoor", "confidence": { "mode": "standard" } })])
        .build()
}

/// Null where nothing was scored.
pub fn confidence() -> Object {
    let signals = ObjectBuilder::new().additional_properties(Some(Schema::Object(of(Type::Number))));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .property("score", of(Type::Number))
        .property("level", names(["high", "medium", "low", "very_low"]))
        .property("action", names(["send", "send_with_disclaimer", "suggest_review", "withhold_and_escalate"]))
        .property("escalated", of(Type::Boolean))
        .property("signals", signals)
        .examples([json!({
            "score": 0.86, "level": "high", "action": "send", "escalated": false,
            "signals": { "retrieval": 0.81, "grounding": 0.95, "hedging": 1.0, "answer_quality": 0.75 },
        })])
        .build()
}
