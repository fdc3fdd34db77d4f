//! Which dead jobs a request means.

use chrono::{DateTime, Utc};
use jobs::{domain::ids::TenantId, kinds, store::dead_jobs::Filter};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::problem::Fields;

/// Longest part of a cause that is looked for, in characters.
const MAX_CAUSE: usize = 200;

/// At least one condition, which all have to hold, or `all`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeadJobSelection)]
pub struct Selection {
    #[schema(example = "deliver_webhook")]
    pub kind: Option<String>,
    /// A part of the cause, in its exact letters.
    #[schema(example = "answered 503", min_length = 1, max_length = 200)]
    pub cause_contains: Option<String>,
    /// At this time or later.
    pub died_after: Option<DateTime<Utc>>,
    /// Before this time.
    pub died_before: Option<DateTime<Utc>>,
    /// In place of conditions: every dead job.
    #[schema(example = false)]
    pub all: Option<bool>,
}

impl Selection {
    /// Refuses a selection that says nothing, so that a forgotten condition does not mean everything.
    pub fn must_choose(&self, fields: &mut Fields) {
        let conditions = self.kind.is_some()
            || self.cause_contains.is_some()
            || self.died_after.is_some()
            || self.died_before.is_some();
        match (self.all.unwrap_or_default(), conditions) {
            (false, false) => fields.refuse("all", "must be true when there is no condition"),
            (true, true) => fields.refuse("all", "must not be true beside a condition"),
            _ => {}
        }
    }

    /// The conditions, for one tenant's dead jobs.
    pub fn filter(self, tenant: TenantId, fields: &mut Fields) -> Filter {
        let Self { kind, cause_contains: cause, died_after, died_before, all: _ } = self;
        if kind.as_deref().is_some_and(|kind| !kinds::names().contains(&kind)) {
            fields.refuse("kind", "is not a kind of job");
        }
        if let Some(cause) = &cause {
            fields.text("cause_contains", cause, 1..=MAX_CAUSE);
        }
        if died_after.zip(died_before).is_some_and(|(after, before)| after >= before) {
            fields.refuse("died_before", "must be later than died_after");
        }
        Filter { tenant: Some(tenant), kind, cause, died_after, died_before }
    }
}
