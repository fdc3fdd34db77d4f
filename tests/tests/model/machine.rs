//! A job's state machine: its row in the ledger, its place in the lane, two workers, the dispatcher and the relay. Faults
//! happen between any two steps, as often as the budget says.

use super::explorer::Machine;

pub const WORKERS: usize = 2;
/// Runs a job may have, and workers it may cost.
const RUNS: u8 = 5;
const CRASHES: u8 = 3;

pub const EFFECT_ONCE: &str = "the effect happens once for a done job and never for a dead one";
pub const FENCED: &str = "a fenced-off worker changes nothing";
pub const ONE_ATTEMPT: &str = "a run after a lost worker has spent an attempt, and no fault spends two";
pub const NO_MORE_CRASHES: &str = "a job that cost three workers does not run again";
pub const DEAD_WITH_REASON: &str = "a job is dead only after its runs or three lost workers";
pub const RUNS_ONCE: &str = "without a fault a job runs once";
pub const NOT_EARLY: &str = "a job that was put off does not run before its time";
pub const ENDS: &str = "every job ends soon by fair steps, whatever happened before";

/// Mechanisms that can be taken out, or a hazard let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// Outcomes are noted whatever the row's fence says.
    Fence,
    /// The effect does not ask whether the row is still there.
    Guard,
    /// A lane that lost its data is not filled again.
    Rebuild,
    /// The relay takes a fresh row at once.
    Grace,
    /// The lease is settled before the outcome is committed.
    CommitBeforeSettle,
    /// A run after a lost worker does not tell the ledger.
    TakeOver,
    /// Lost workers are not counted.
    CrashLimit,
    /// A relayed job is run without asking the ledger.
    Asking,
    /// A job that the ledger does not want now leaves the lane without the relay hearing of it.
    Return,
    /// A lane that is wiped while it is filled is marked as whole. With the mark, a wipe between the last look and the
    /// marking, one round trip, is left to the relay's doubt after minutes.
    WalkMark,
}

/// How often each fault may happen on one path.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub lost_workers: u8,
    pub failed_runs: u8,
    pub lost_redis: u8,
}

pub struct Job {
    pub without: Option<Without>,
    pub budget: Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// `lost` is the count of lost workers at the last take-over.
    Unfinished {
        failed: u8,
        lost: u8,
        fence: u8,
        due: bool,
        relay_at: RelayAt,
    },
    Done,
    Dead,
}

/// When the relay looks at the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelayAt {
    Now,
    /// After the grace of a fresh row, or of a running job.
    Soon,
    /// When the job is due again.
    WhenDue,
    /// After the minutes for which the lane is trusted.
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Envelope {
    pub failed: u8,
    pub relayed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    Absent,
    Waiting(Envelope),
    Leased(Envelope, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lane {
    pub place: Place,
    pub crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    Claimed,
    Begun(u8),
    /// The ledger knows, the lane does not.
    Noted,
    /// The lane knows, the ledger does not: only without the right order.
    Settled(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worker {
    Idle,
    Holding { token: u8, crashes: u8, envelope: Envelope, stage: Stage },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relay {
    Idle,
    /// `current` while the row's time is the one that was read; `rebuilds` while the mark of a lost lane is to be set.
    Read {
        failed: u8,
        current: bool,
        rebuilds: bool,
    },
    Pushed {
        running: bool,
        current: bool,
        rebuilds: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    pub row: Row,
    pub lane: Lane,
    /// The lane before its last change: what a restarted Redis may come back with.
    pub before: Lane,
    pub marked: bool,
    pub dispatching: bool,
    pub workers: [Worker; WORKERS],
    pub relay: Relay,
    pub lost_workers: u8,
    pub failed_runs: u8,
    pub lost_redis: u8,
    pub late_dispatch: bool,
    /// Leases that expired since the lane holds the job.
    pub expired: u8,
    pub effects: u8,
    /// Runs begun and not given back, counted as long as there was no fault.
    pub runs: u8,
    pub broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Dispatch,
    LoseDispatch,
    Claim(usize),
    Begin(usize),
    Commit(usize, Ending),
    Settle(usize),
    HearOfLoss(usize),
    GiveBack(usize),
    Crash(usize),
    LeaseExpires,
    /// The lease of a living worker.
    Stall,
    RelayReads,
    RebuildReads,
    RelayPushes,
    RelayPostpones,
    RelayCrashes,
    GraceIsOver,
    GraceIsOverBeforeDispatch,
    BecomesDue,
    /// The relay doubts the lane.
    MinutesPass,
    Wipe,
    RestartWithLostTail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    Retry,
    Bury,
}

impl Job {
    pub fn is_without(&self, mechanism: Without) -> bool {
        self.without == Some(mechanism)
    }

    pub const fn runs() -> u8 {
        RUNS
    }

    pub const fn crashes() -> u8 {
        CRASHES
    }
}

impl Machine for Job {
    type State = State;
    type Action = Action;

    fn initial(&self) -> State {
        let relay_at = if self.is_without(Without::Grace) { RelayAt::Now } else { RelayAt::Soon };
        let lane = Lane { place: Place::Absent, crashes: 0 };
        State {
            row: Row::Unfinished { failed: 0, lost: 0, fence: 0, due: true, relay_at },
            lane,
            before: lane,
            marked: true,
            dispatching: true,
            workers: [Worker::Idle; WORKERS],
            relay: Relay::Idle,
            lost_workers: 0,
            failed_runs: 0,
            lost_redis: 0,
            late_dispatch: false,
            expired: 0,
            effects: 0,
            runs: 0,
            broken: None,
        }
    }

    fn steps(&self, state: &State) -> Vec<(Action, State)> {
        // A broken state is reported, not explored further.
        if state.broken.is_some() {
            return Vec::new();
        }
        let mut steps = Vec::new();
        self.ledger_and_lane(state, &mut steps);
        self.relay(state, &mut steps);
        for worker in 0..WORKERS {
            self.worker(state, worker, &mut steps);
        }
        steps.iter_mut().for_each(|(_, next)| next.normalise(&self.budget));
        steps
    }

    fn broken(&self, state: &State) -> Vec<&'static str> {
        let mut broken: Vec<_> = state.broken.into_iter().collect();
        let expected = u8::from(state.row == Row::Done);
        if state.effects != expected {
            broken.push(EFFECT_ONCE);
        }
        if state.runs > 1 {
            broken.push(RUNS_ONCE);
        }
        broken
    }

    fn is_end(&self, state: &State) -> bool {
        // What broke something else is reported as that.
        state.broken.is_some()
            || (!matches!(state.row, Row::Unfinished { .. })
                && state.lane.place == Place::Absent
                && state.workers == [Worker::Idle; WORKERS])
    }

    fn is_fair(&self, action: Action) -> bool {
        !matches!(
            action,
            Action::LoseDispatch
                | Action::Commit(_, Ending::Retry)
                | Action::GiveBack(_)
                | Action::Crash(_)
                | Action::Stall
                | Action::RelayCrashes
                | Action::GraceIsOverBeforeDispatch
                | Action::MinutesPass
                | Action::Wipe
                | Action::RestartWithLostTail
        )
    }
}
