//! What metachat knows and does.
//!
//! Rooms, each allowed to use only those above it: [`domain`] (plain data and pure functions), [`store`]
//! (Postgres), [`ports`] (traits for outside engines), [`queue`] (the ledger and the lanes), [`kinds`] (one
//! file per job). The `architecture` test keeps the order. Beside them [`trace`], which is what tracing a message needs.

pub mod domain;
pub mod kinds;
pub mod ports;
pub mod queue;
pub mod store;
pub mod trace;
