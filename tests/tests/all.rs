//! All integration tests in one binary: each that links LanceDB costs 400 MB and a long link.

mod architecture;
mod lanes;
mod ledger;
