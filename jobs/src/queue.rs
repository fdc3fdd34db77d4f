//! The ledger and the lanes: how jobs are written, dispatched, leased, finished, retried and buried.
//!
//! Postgres holds the truth (the ledger), Redis carries it to the workers (the lanes) and may lose everything.
//!
//! ```text
//!                     ┌──────────── retry: run_at later ───────────┐
//!                     ▼                                            │
//! Work::enqueue ─► written ─► queued in a lane ─► leased ─► running ┤─► done ─► history
//!    (one tx)         │  ▲          ▲                │             └─► buried ─► dead letters
//!                     │  └── relay: │ lost push,     └── lease expires: queued again,
//!                     └─ dispatcher ┘ wiped Redis        from the second crash on in quarantine
//! ```

pub mod backend;
pub mod context;
mod cpu;
pub mod dispatch;
pub mod envelope;
pub mod group_commit;
pub mod job;
pub mod lanes;
pub mod outcome;
pub mod relay;
pub mod runner;
pub mod schedule;
pub mod signals;
mod wire;
pub mod work;

pub use context::{Completion, JobContext, Retention, Runtime};
pub use dispatch::{Dispatcher, Intakes};
pub use envelope::Envelope;
pub use group_commit::GroupCommit;
pub use job::{Job, Lane, RetryPolicy};
pub use lanes::{Lanes, LanesConfig};
pub use outcome::{Done, Failure};
pub use schedule::{Periodic, Schedule};
pub use wire::Wire;
pub use work::Work;
