//! Handlers, one file per aggregate.

pub mod api_keys;
pub mod api_logs;
pub mod audit_log;
pub mod channels;
pub mod contacts;
pub mod conversations;
pub mod dead_jobs;
pub mod documents;
pub mod endpoints;
pub mod erasures;
pub mod events;
pub mod exports;
pub mod messages;
pub mod operator_keys;
pub mod probes;
pub mod search;
pub mod sessions;
pub mod stripe;
pub mod tenants;
pub mod usage;
pub mod users;

mod source;
