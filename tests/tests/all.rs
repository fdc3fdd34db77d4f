//! All integration tests in one binary: each that links LanceDB costs 400 MB and a long link.

mod architecture;
mod chaos;
mod dashboards;
mod delays;
mod engines;
mod http;
mod lanes;
mod ledger;
mod pipeline;
mod resilience;
mod webhooks;
