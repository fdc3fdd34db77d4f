//! All integration tests in one binary: each that links LanceDB costs 400 MB and a long link.

mod access;
mod architecture;
mod bad_jobs;
mod chaos;
mod dashboards;
mod dead_letters;
mod delays;
mod engines;
mod fairness;
mod http;
mod lanes;
mod ledger;
mod model;
mod order;
mod pipeline;
mod resilience;
mod schedules;
mod time;
mod webhooks;
