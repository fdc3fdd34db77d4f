//! Everything that looks at the product from outside: the demonstration, the open-loop load generator, and the fake model,
//! webhook and trace servers.
//!
//! It speaks HTTP only, so that what it shows and measures is what a customer would see.

pub mod client;
pub mod collector;
pub mod demo;
pub mod fake_model;
pub mod floor;
pub mod load;
pub mod plan;
pub mod receiver;
pub mod requests;
pub mod samples;

mod duration;
mod server;
mod target;
