//! What happened, and the catalogue of what can.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        event::{Envelope, EventType},
        ids::EventId,
    },
    store::{Scope, events},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::{
    extract::{Caller, Query, scope::Read},
    openapi::schemas,
    page::{List, Page},
    problem::Problem,
    state::AppState,
};

/// An event, as webhooks deliver it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// Also the `webhook-id` that a receiver deduplicates on.
    #[schema(value_type = String, example = "evt_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    id: EventId,
    #[serde(rename = "type")]
    #[schema(schema_with = schemas::event_type)]
    event_type: String,
    timestamp: DateTime<Utc>,
    #[schema(value_type = Object)]
    data: Value,
}

impl From<Envelope> for Event {
    fn from(stored: Envelope) -> Self {
        Self { id: stored.id, event_type: stored.event_type, timestamp: stored.timestamp, data: stored.data }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
    /// Only events of this type.
    #[param(value_type = Option<String>, example = "message.sent")]
    r#type: Option<EventType>,
}

/// Lists events, newest first.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "list_events",
    security(("tenant_key" = ["read"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<Event>))
)]
pub async fn list(
    caller: Caller<Read>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor, r#type }): Query<Parameters>,
) -> Result<Json<List<Event>>, Problem> {
    let page = Page::parse("events", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = events::list(&mut tx, r#type, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Json(page.list(rows, |event| event.id)))
}

/// An entry of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventTypeDescription)]
pub struct Catalogued {
    #[serde(rename = "type")]
    #[schema(example = "message.sent")]
    event_type: &'static str,
    #[schema(example = "A message was sent to the customer.")]
    description: &'static str,
    /// Whether a message's `callback_url` receives it.
    reaches_callback: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventTypes)]
pub struct Catalogue {
    data: Vec<Catalogued>,
}

/// Lists the types of events that the product emits.
#[utoipa::path(
    get, path = "/v1/event-types", tag = "events", operation_id = "list_event_types",
    security(("tenant_key" = ["read"])),
    responses((status = 200, description = "The catalogue.", body = Catalogue))
)]
pub async fn types(_: Caller<Read>) -> Json<Catalogue> {
    let catalogued = EventType::ALL.iter().map(|kind| Catalogued {
        event_type: kind.as_str(),
        description: kind.description().trim(),
        reaches_callback: kind.reaches_callback(),
    });
    Json(Catalogue { data: catalogued.collect() })
}
