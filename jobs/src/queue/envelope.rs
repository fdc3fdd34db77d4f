//! A job on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    domain::{
        ids::{JobId, TenantId},
        plan::Share,
    },
    store::jobs::{JobRow, NewJob},
};

/// What a lane carries: enough to run the job without asking the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    pub id: JobId,
    pub tenant: Option<TenantId>,
    pub share: Share,
    pub priority: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    pub payload: Value,
    /// Failed runs so far.
    pub attempt: u32,
    /// Whether the relay pushed it: the ledger is asked again before it runs.
    pub relayed: bool,
    #[serde(with = "chrono::serde::ts_microseconds")]
    pub due_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Envelope {
    /// A job that was just written and is due at once.
    pub fn fresh(job: NewJob, share: Share, now: DateTime<Utc>) -> Self {
        Self {
            id: job.id,
            tenant: job.tenant,
            share,
            priority: job.priority,
            subject: job.subject,
            payload: job.payload,
            attempt: 0,
            relayed: false,
            due_at: now,
            traceparent: job.traceparent,
        }
    }

    /// A row that no lane was known to hold.
    pub fn relayed(row: JobRow) -> Self {
        Self {
            id: row.id,
            tenant: row.tenant,
            share: row.share,
            priority: row.priority,
            subject: row.subject,
            payload: row.payload,
            attempt: row.attempt,
            relayed: true,
            due_at: row.run_at,
            traceparent: row.traceparent,
        }
    }
}
