//! How work gets done: the engines behind the ports, the lanes' workers, the relay, the scheduler, probes and drain.

pub mod bench;
pub mod config;
mod disk;
pub mod engines;
pub mod evaluation;
mod lanes;
mod probes;
mod relay;
mod scheduler;
mod service;

pub use config::WorkerConfig;
pub use service::run;
