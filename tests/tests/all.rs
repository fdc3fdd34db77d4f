//! All integration tests in one binary: each that links LanceDB costs 400 MB and a long link.

mod architecture;
mod bad_jobs;
mod dashboards;
mod dead_letters;
mod engines;
mod http;
mod lanes;
mod ledger;
mod model;
mod pipeline;
mod resilience;
mod schedules;
mod webhooks;
