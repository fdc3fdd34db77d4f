//! The HTTP side of metachat: how work arrives, and how answers leave.
//!
//! A request becomes rows and jobs in one transaction, and is acknowledged after it committed. What needs an engine
//! is a job; routes only compose functions of `jobs::store`. `router.rs` lists every route on one page.

pub mod cli;
pub mod config;
pub mod migrate;
pub mod openapi;
pub mod process;
pub mod state;
pub mod telemetry;

mod admission;
mod api_log;
mod cookies;
mod cors;
mod credentials;
mod cursor;
mod dependencies;
mod extract;
mod facts;
mod guard;
mod https;
mod identity;
mod keys;
mod last_used;
mod limits;
mod observe;
mod once;
mod page;
mod passwords;
mod problem;
mod proxies;
mod request_id;
mod router;
mod routes;
mod serve;
mod sessions;
mod slow_body;
mod waiting;

pub use serve::serve;
