//! Random sequences of steps and faults through the real ledger, relay and lane.
//!
//! `PROPTEST_CASES` says how many, `MODEL_SEED` repeats a run; both are printed. Time is real where Redis keeps it (leases),
//! and moved on in the ledger, so that nothing waits minutes.

use std::env;

use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tests::{PrivateRedis, TestDatabase};

use super::installation::{Ending, Installation, Step, WORKERS};

/// Sequences of one run, unless `PROPTEST_CASES` says otherwise, and their longest.
const CASES: u32 = 32;
const STEPS: usize = 30;
/// A failing sequence is shortened at most so often; each try is a run.
const SHORTENINGS: u32 = 20;

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..WORKERS;
    let ending = prop_oneof![3 => Just(Ending::Done), 2 => Just(Ending::Retry), 1 => Just(Ending::Bury)];
    prop_oneof![
        3 => Just(Step::Enqueue),
        3 => Just(Step::Dispatch),
        1 => Just(Step::LoseDispatch),
        6 => worker.clone().prop_map(Step::Claim),
        6 => worker.clone().prop_map(Step::Begin),
        6 => (worker.clone(), ending).prop_map(|(worker, ending)| Step::End(worker, ending)),
        5 => worker.clone().prop_map(Step::Settle),
        2 => worker.clone().prop_map(Step::Crash),
        2 => worker.clone().prop_map(Step::Renew),
        2 => Just(Step::LeasesExpire),
        2 => Just(Step::Relay),
        2 => worker.clone().prop_map(Step::RelayWhileClaiming),
        2 => worker.prop_map(Step::RelayWhileEnding),
        1 => Just(Step::Refill),
        1 => Just(Step::Wipe),
        2 => Just(Step::Rebuild),
    ]
}

#[test]
fn whatever_happens_every_job_ends_once_with_its_effect_or_its_cause() {
    let seed: u64 = env::var("MODEL_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    let cases = env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().expect("a number"));
    println!("MODEL_SEED={seed} PROPTEST_CASES={cases}");
    // The seed repeats a run; a file of past failures would name steps by position and age with them.
    let config = Config { cases, max_shrink_iters: SHORTENINGS, failure_persistence: None, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (test, redis) = runtime.block_on(async { (TestDatabase::create().await, PrivateRedis::start().await) });
    let database = runtime.block_on(async { test.connect() });
    let sequences = prop::collection::vec(step(), 1..=STEPS);
    let outcome = runner.run(&sequences, |steps| {
        runtime.block_on(async {
            let mut installation = Installation::new(&test, &database, &redis).await;
            for step in steps {
                installation.take(step).await;
            }
            installation.drain().await;
            installation.check_end().await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("MODEL_SEED={seed}: {failure}");
    }
}
