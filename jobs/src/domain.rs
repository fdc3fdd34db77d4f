//! Plain data and pure functions: no database, no clock, no environment.

pub mod access;
pub mod account;
pub mod audit;
pub mod channel;
pub mod confidence;
pub mod document;
pub mod egress;
pub mod erasure;
pub mod event;
pub mod extractive;
pub mod handoff;
pub mod ids;
pub mod message;
pub mod plan;
pub mod price;
pub mod retrieval;
pub mod secret;
pub mod settings;
pub mod stripe;
