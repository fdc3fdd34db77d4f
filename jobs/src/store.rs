//! Postgres: pools, tenant transactions and one file of SQL per aggregate; and the object store of uploaded bytes.
//!
//! Tenant-owned rows are reached through a [`TenantTx`], which cannot be made without a tenant id; row-level
//! security shows it that tenant's rows only. A [`SystemTx`] sees all tenants and is used by the few named
//! functions that must: look-up of keys, sessions and invitations, the operator's own, the relay, billing.

mod database;
mod error;
mod pool;

pub mod acceptance;
pub mod answers;
pub mod api_keys;
pub mod api_logs;
pub mod audit;
pub mod channels;
pub mod checks;
pub mod conversations;
pub mod dead_jobs;
pub mod document_versions;
pub mod documents;
pub mod embedding_models;
pub mod endpoints;
pub mod erasures;
pub mod escalations;
pub mod events;
pub mod expiry;
pub mod idempotency;
pub mod job_counts;
pub mod jobs;
pub mod knowledge;
pub mod last_used;
pub mod leadership;
pub mod login_attempts;
pub mod messages;
pub mod model_keys;
pub mod operator_keys;
pub mod originals;
pub mod outbox;
pub mod partitions;
pub mod relay;
pub mod replays;
pub mod retention;
pub mod schedules;
pub mod searches;
pub mod secrets;
pub mod sessions;
pub mod stream;
pub mod stripe_events;
pub mod tenants;
pub mod timeline;
pub mod transcript;
pub mod usage;
pub mod users;
pub mod webhooks;

pub use database::{Database, DatabaseConfig, Scope, SystemTx, TenantTx, migrate};
pub use error::StoreError;
pub use originals::{Originals, OriginalsError};
