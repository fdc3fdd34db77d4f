//! The HTTP side of metachat: how work arrives, and how answers leave.
//!
//! A request becomes rows and jobs in one transaction, and is acknowledged after it committed. What needs an engine
//! is a job; routes only compose functions of `jobs::store`. `router.rs` lists every route on one page.

pub mod cli;
pub mod config;
pub mod cursor;
pub mod extract;
pub mod migrate;
pub mod openapi;
pub mod process;
pub mod proxies;
pub mod request_id;
pub mod routes;
pub mod state;
pub mod telemetry;

mod admission;
mod api_log;
mod cookies;
mod cors;
mod credentials;
mod dependencies;
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
mod router;
mod serve;
mod sessions;
mod slow_body;
mod waiting;

pub use serve::serve;
