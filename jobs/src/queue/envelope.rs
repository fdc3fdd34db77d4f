//! A job on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    domain::{
        ids::{JobId, TenantId},
        plan::Share,
    },
    store::jobs::{JobRow, NewJob},
};

/// Largest payload of a job, in bytes of JSON.
pub(super) const MAX_PAYLOAD: usize = 256 * 1024;
/// In a lane, stands for a payload beyond that, which only a row written by other means can have; holds its size.
const OVERSIZED: &str = "$oversized_bytes";

/// What a lane carries: enough to run the job without asking the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// Like the tenant, said by the job's name in its lane.
    #[serde(skip, default = "unnamed")]
    pub id: JobId,
    #[serde(skip)]
    pub tenant: Option<TenantId>,
    pub share: Share,
    pub priority: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    pub payload: Value,
    /// Failed runs so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// Whether the relay pushed it: the ledger is asked again before it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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

    /// A row that no lane was known to hold. An oversized payload stays behind: the worker that finds it missing
    /// buries the job, with everything that giving up means to its kind.
    pub fn relayed(mut row: JobRow) -> Self {
        let size = row.payload.to_string().len();
        if size > MAX_PAYLOAD {
            row.payload = json!({ OVERSIZED: size });
        }
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

    /// What a lane holds beside the job's name.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    pub(super) fn from_bytes(id: JobId, tenant: Option<TenantId>, bytes: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { id, tenant, ..serde_json::from_slice(bytes)? })
    }

    /// The payload as its kind reads it, or why it cannot be read.
    pub(super) fn decode<T: DeserializeOwned>(&self) -> Result<T, String> {
        if let Some(size) = self.payload.get(OVERSIZED) {
            return Err(format!("a payload of {size} bytes, at most {MAX_PAYLOAD} are taken"));
        }
        T::deserialize(&self.payload).map_err(|error| format!("undecodable payload: {error}"))
    }
}

fn unnamed() -> JobId {
    JobId::from_uuid(Uuid::nil())
}

fn is_zero(attempt: &u32) -> bool {
    *attempt == 0
}
