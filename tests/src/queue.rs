//! Lanes and jobs of a test's own, for tests that need no installation.

use std::time::Duration;

use chrono::Utc;
use jobs::{
    domain::ids::JobId,
    queue::{Lanes, LanesConfig},
    store::{
        jobs::NewJob,
        outbox::{End, Outcome},
    },
};
use serde_json::json;
use uuid::Uuid;

use crate::setting;

/// Lanes that nobody else uses, on the Redis that all tests share.
pub fn lanes(lease: Duration) -> Lanes {
    lanes_on(setting("TEST_REDIS_URL"), lease)
}

/// As [`lanes`], on another Redis.
pub fn lanes_on(url: String, lease: Duration) -> Lanes {
    let prefix = format!("test-{}", Uuid::now_v7().simple());
    Lanes::connect(LanesConfig { url, prefix, lease }).expect("a usable URL")
}

/// A job of the platform that is due at once.
pub fn new_job(kind: &'static str, key: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant: None,
        kind,
        key: key.to_owned(),
        payload: json!({ "n": 1 }),
        subject: None,
        priority: 5,
        delay: Duration::ZERO,
        traceparent: None,
        event: None,
        parent: None,
    }
}

/// The end of a job that is done.
pub fn done(id: JobId, token: i64) -> End {
    End { id, token, started_at: Utc::now(), outcome: Outcome::Done }
}
