//! Schemas of the domain's types, which know nothing of HTTP.

use jobs::domain::{
    access::{Permission, Role},
    audit::Action,
    event::EventType,
    message::Status,
};
use serde_json::json;
use utoipa::openapi::{
    ArrayBuilder, Object, ObjectBuilder, Schema,
    schema::{AdditionalProperties, SchemaType, Type},
};

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
    ArrayBuilder::new().items(names(Permission::ALL.map(Permission::as_str))).examples([json!(["read"])]).build().into()
}

pub fn role() -> Object {
    names(Role::ALL.map(Role::as_str))
}

pub fn audit_action() -> Object {
    names(Action::ALL.iter().map(|action| action.as_str()))
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
        .property("model", of(Type::String))
        .property("temperature", of(Type::Number))
        .property("max_tokens", of(Type::Integer))
        .additional_properties(closed());
    let confidence = ObjectBuilder::new()
        .property("mode", names(["strict", "standard", "lenient"]))
        .property("high_stakes", ArrayBuilder::new().items(of(Type::String)))
        .additional_properties(closed());
    ObjectBuilder::new()
        .property("brand", of(Type::String))
        .property("tone", of(Type::String))
        .property("prompt", of(Type::String))
        .property("model", model)
        .property("confidence", confidence)
        .additional_properties(closed())
        .examples([json!({ "brand": "Nordlys Outdoor", "confidence": { "mode": "standard" } })])
        .build()
}

pub fn confidence() -> Object {
    let signals = ObjectBuilder::new().additional_properties(Some(Schema::Object(of(Type::Number))));
    ObjectBuilder::new()
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
