//! Errors as RFC 9457 problem documents.
//!
//! A handler returns a [`Problem`]; [`render`] turns it into the response's body, where the request's id is known,
//! and logs what must not be shown.

mod fields;
mod kind;
mod render;
mod store;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use jobs::domain::access::Permission;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub use fields::{Fields, MAX_LANGUAGE_CHARS};
pub use kind::Kind;
pub use render::render;

/// What went wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Path of the field, such as `contact.id` or `tags[2]`; a header or query parameter by its name.
    #[schema(example = "text")]
    pub field: String,
    #[schema(example = "text is empty")]
    pub detail: String,
}

/// A request that was not served.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: Kind,
    detail: Option<String>,
    errors: Vec<FieldError>,
    /// Boxed: a `Result` that carries a problem stays small.
    extras: Box<Map<String, Value>>,
    retry_after: Option<Duration>,
    /// For the log only.
    cause: Option<String>,
}

impl Problem {
    pub fn new(kind: Kind) -> Self {
        Self { kind, detail: None, errors: Vec::new(), extras: Box::default(), retry_after: None, cause: None }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One sentence about this occurrence, for the client's developer.
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// A further member of the document.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.extras.insert(member.to_owned(), value.into());
        self
    }

    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// What is logged and never shown.
    pub fn cause(self, cause: impl ToString) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// A request refused for one field.
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldError { field: field.into(), detail: detail.into() }])
    }

    /// A request refused for its fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = errors.first().map(|error| format!("{}: {}", error.field, error.detail));
        Self { detail, errors, ..Self::new(Kind::InvalidRequest) }
    }

    /// The thing a path or body names does not exist, or belongs to another tenant.
    pub fn not_found(thing: &str) -> Self {
        Self::new(Kind::NotFound).detail(format!("There is no such {thing}."))
    }

    /// The credential is good and may not do this; the member `scope` says what it lacks.
    pub fn scope(lacking: Permission) -> Self {
        let scope = lacking.as_str();
        Self::new(Kind::InsufficientScope).detail(format!("This takes the scope `{scope}`.")).with("scope", scope)
    }

    /// The plan's limit of something countable is reached. Counted here: whoever makes this answers with it.
    pub fn plan_limit(meter: &'static str, limit: i64, current: i64) -> Self {
        metrics::counter!("metachat_plan_limits_reached_total", "limit" => meter).increment(1);
        Self::new(Kind::PlanLimit)
            .detail(format!("The plan allows {limit} {meter}; {current} are used."))
            .with("meter", meter)
            .with("limit", limit)
            .with("current", current)
    }

    /// Something the request needs is away or busy; the same request may pass soon.
    pub fn unavailable(detail: &str) -> Self {
        Self::new(Kind::Unavailable).detail(detail).retry_after(Duration::from_secs(1))
    }
}

/// Leaves the body to [`render`].
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The document's members, for the API's description.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// Stable: one of those listed in the API's description.
    #[serde(rename = "type")]
    #[schema(example = "https://metachat.dev/problems/invalid-request")]
    pub type_uri: String,
    #[schema(example = "The request is not valid")]
    pub title: &'static str,
    #[schema(example = 422)]
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "text: text is empty")]
    pub detail: Option<String>,
    /// The response's `X-Request-Id`.
    #[schema(example = "req_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    pub request_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(flatten)]
    #[schema(ignore)]
    pub extras: Map<String, Value>,
}
