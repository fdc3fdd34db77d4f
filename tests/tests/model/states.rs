//! Every state of one job under bounded faults, and the proof that the properties can fail.

use super::{
    explorer::{Explored, explore},
    machine::{Budget, EFFECT_ONCE, ENDS, FENCED, Job, NO_MORE_CRASHES, NOT_EARLY, ONE_ATTEMPT, RUNS_ONCE, Without},
};

fn explore_all(without: Option<Without>, budget: Budget) -> Explored {
    explore(&Job { without, budget }, ENDS)
}

#[test]
fn no_reachable_state_of_a_job_breaks_a_promise() {
    let mut sound = true;
    for budget in [
        Budget { lost_workers: 4, failed_runs: 0, lost_redis: 0 },
        Budget { lost_workers: 0, failed_runs: 2, lost_redis: 0 },
        Budget { lost_workers: 1, failed_runs: 1, lost_redis: 1 },
        Budget { lost_workers: 0, failed_runs: 0, lost_redis: 2 },
    ] {
        let started = std::time::Instant::now();
        let explored = explore_all(None, budget);
        println!("{budget:?}: {} states in {:?}", explored.states, started.elapsed());
        for violation in &explored.violations {
            println!("broken: {}\n  {}", violation.property, violation.trace.join("\n  "));
        }
        sound &= explored.violations.is_empty();
    }
    assert!(sound);
}

#[test]
fn each_mechanism_that_is_taken_out_breaks_its_promise() {
    let some = Budget { lost_workers: 1, failed_runs: 1, lost_redis: 0 };
    let redis = Budget { lost_workers: 0, failed_runs: 0, lost_redis: 1 };
    let twice = Budget { lost_redis: 2, ..redis };
    for (without, budget, property) in [
        (Without::Fence, some, FENCED),
        (Without::Guard, some, EFFECT_ONCE),
        (Without::Rebuild, redis, ENDS),
        (Without::Grace, redis, RUNS_ONCE),
        (Without::CommitBeforeSettle, some, ENDS),
        (Without::TakeOver, some, ONE_ATTEMPT),
        (Without::CrashLimit, Budget { lost_workers: 4, failed_runs: 0, lost_redis: 0 }, NO_MORE_CRASHES),
        (Without::Asking, some, NOT_EARLY),
        (Without::Return, Budget { lost_workers: 0, failed_runs: 2, lost_redis: 0 }, ENDS),
        (Without::WalkMark, twice, ENDS),
    ] {
        let explored = explore_all(Some(without), budget);
        let found: Vec<_> = explored.violations.iter().map(|violation| violation.property).collect();
        println!("without {without:?}: {} states, {found:?}", explored.states);
        assert!(explored.breaks(property), "without {without:?} nothing broke {property:?}");
    }
}
