//! The state machine of a job, by two layers: every reachable state of an abstract machine, and random sequences through
//! the real ledger, relay and lane.

mod explorer;
mod installation;
mod machine;
mod sequences;
mod states;
mod steps;
