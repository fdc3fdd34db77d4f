//! All integration tests in one binary: each that links LanceDB costs 400 MB and a long link.

mod architecture;
mod bad_jobs;
mod catalogue;
mod chaos;
mod dashboards;
mod dead_letters;
mod delays;
mod edge;
mod engines;
mod erasure;
mod export;
mod fairness;
mod http;
mod lanes;
mod ledger;
mod model;
mod openapi;
mod order;
mod pipeline;
mod redis_deployments;
mod resilience;
mod retention;
mod schedules;
mod schema_checks;
mod time;
mod webhooks;
