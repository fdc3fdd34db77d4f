//! The steps of the machine, as the scripts, statements and the runner take them.

use super::machine::{
    Action, Budget, DEAD_WITH_REASON, Ending, Envelope, FENCED, Job, Lane, NO_MORE_CRASHES, NOT_EARLY, ONE_ATTEMPT,
    Place, Relay, RelayAt, Row, Stage, State, WORKERS, Without, Worker,
};

type Steps = Vec<(Action, State)>;

impl State {
    /// One state for all that behave alike.
    pub fn normalise(&mut self, budget: &Budget) {
        if self.lost_redis == budget.lost_redis {
            self.before = self.lane;
        }
        if self.lost_workers + self.failed_runs + self.lost_redis > 0 || self.late_dispatch {
            self.runs = 0;
        }
        self.workers.sort_unstable();
        self.rank_tokens();
    }

    /// Only the order of tokens means something, so their ranks stand for them and the states are finite.
    fn rank_tokens(&mut self) {
        let mut tokens = vec![0];
        tokens.extend(self.tokens().iter().map(|token| **token));
        tokens.sort_unstable();
        tokens.dedup();
        for token in self.tokens() {
            *token = tokens.iter().position(|known| known == token).map_or(0, |rank| rank as u8);
        }
    }

    fn tokens(&mut self) -> Vec<&mut u8> {
        let mut tokens = Vec::new();
        if let Row::Unfinished { fence, .. } = &mut self.row {
            tokens.push(fence);
        }
        for lane in [&mut self.lane, &mut self.before] {
            if let Place::Leased(_, token) = &mut lane.place {
                tokens.push(token);
            }
        }
        for worker in &mut self.workers {
            if let Worker::Holding { token, .. } = worker {
                tokens.push(token);
            }
        }
        tokens
    }

    fn set_lane(&mut self, place: Place, crashes: u8) {
        self.before = self.lane;
        self.lane = Lane { place, crashes };
    }

    /// The push script; returns whether the job counts as running.
    fn push(&mut self, envelope: Envelope) -> bool {
        match self.lane.place {
            Place::Leased(..) => true,
            // In quarantine, which a push does not look into.
            Place::Waiting(_) if self.lane.crashes >= 2 => true,
            Place::Absent | Place::Waiting(_) => {
                self.set_lane(Place::Waiting(envelope), self.lane.crashes);
                false
            }
        }
    }

    fn set_relay_at(&mut self, at: RelayAt) {
        if let Row::Unfinished { relay_at, .. } = &mut self.row
            && *relay_at != at
        {
            *relay_at = at;
            self.outdate_relay();
        }
    }

    /// What the relay read is not what the row says any more.
    fn outdate_relay(&mut self) {
        match &mut self.relay {
            Relay::Read { current, .. } | Relay::Pushed { current, .. } => *current = false,
            Relay::Idle => {}
        }
    }

    fn return_to_relay(&mut self) {
        if let Row::Unfinished { due, .. } = self.row {
            self.set_relay_at(if due { RelayAt::Now } else { RelayAt::WhenDue });
            self.outdate_relay();
        }
    }

    /// The mark is gone or names an earlier run of the server, and so is the mark of a walk that fills the lane, unless the
    /// walk goes on unaware.
    fn lose_redis(&mut self, unaware: bool) {
        self.lost_redis += 1;
        self.marked = false;
        if let Relay::Read { rebuilds, .. } | Relay::Pushed { rebuilds, .. } = &mut self.relay {
            *rebuilds &= unaware;
        }
    }

    fn set_stage(&mut self, worker: usize, to: Stage) {
        if let Worker::Holding { stage, .. } = &mut self.workers[worker] {
            *stage = to;
        }
    }

    fn holder(&self, of: u8) -> bool {
        self.workers.iter().any(|worker| matches!(worker, Worker::Holding { token, .. } if *token == of))
    }
}

impl Job {
    pub(super) fn ledger_and_lane(&self, state: &State, steps: &mut Steps) {
        let mut step = |action, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            steps.push((action, next));
        };
        if state.dispatching {
            step(Action::Dispatch, &|next| {
                next.dispatching = false;
                next.push(Envelope { failed: 0, relayed: false });
            });
            step(Action::LoseDispatch, &|next| next.dispatching = false);
        }
        if let Row::Unfinished { due, relay_at, .. } = state.row {
            match relay_at {
                RelayAt::Soon if state.dispatching => step(Action::GraceIsOverBeforeDispatch, &|next| {
                    next.late_dispatch = true;
                    next.set_relay_at(RelayAt::Now);
                }),
                RelayAt::Soon => step(Action::GraceIsOver, &|next| next.set_relay_at(RelayAt::Now)),
                RelayAt::Late => step(Action::MinutesPass, &|next| next.set_relay_at(RelayAt::Now)),
                RelayAt::Now | RelayAt::WhenDue => {}
            }
            if !due {
                step(Action::BecomesDue, &|next| {
                    if let Row::Unfinished { due, relay_at, .. } = &mut next.row {
                        *due = true;
                        // The same moment passes: what the relay read stays what the row says.
                        if *relay_at == RelayAt::WhenDue {
                            *relay_at = RelayAt::Now;
                        }
                    }
                });
            }
        }
        if let Place::Leased(envelope, token) = state.lane.place {
            let expire = |next: &mut State| {
                let crashes = if self.is_without(Without::CrashLimit) { 1 } else { state.lane.crashes + 1 };
                next.set_lane(Place::Waiting(envelope), crashes);
                next.expired += 1;
            };
            if !state.holder(token) {
                step(Action::LeaseExpires, &expire);
            } else if state.lost_workers < self.budget.lost_workers {
                step(Action::Stall, &|next| {
                    next.lost_workers += 1;
                    expire(next);
                });
            }
        }
        if state.lost_redis < self.budget.lost_redis {
            step(Action::Wipe, &|next| {
                next.set_lane(Place::Absent, 0);
                next.before = next.lane;
                next.lose_redis(self.is_without(Without::WalkMark));
            });
            step(Action::RestartWithLostTail, &|next| {
                next.lane = next.before;
                next.lose_redis(false);
            });
        }
    }

    pub(super) fn relay(&self, state: &State, steps: &mut Steps) {
        let mut step = |action, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            steps.push((action, next));
        };
        match state.relay {
            Relay::Idle => {
                if let Row::Unfinished { failed, relay_at: RelayAt::Now, .. } = state.row {
                    step(Action::RelayReads, &|next| {
                        next.relay = Relay::Read { failed, current: true, rebuilds: false };
                    });
                }
                if !state.marked && !self.is_without(Without::Rebuild) {
                    step(Action::RebuildReads, &|next| match state.row {
                        Row::Unfinished { failed, due: true, .. } => {
                            next.relay = Relay::Read { failed, current: true, rebuilds: true };
                        }
                        // Nothing to push: the mark is all there is to do.
                        _ => next.marked = true,
                    });
                }
                return;
            }
            Relay::Read { failed, current, rebuilds } => step(Action::RelayPushes, &|next| {
                let running = next.push(Envelope { failed, relayed: true });
                next.relay = Relay::Pushed { running, current, rebuilds };
            }),
            Relay::Pushed { running, current, rebuilds } => step(Action::RelayPostpones, &|next| {
                next.relay = Relay::Idle;
                if current {
                    next.set_relay_at(if running { RelayAt::Soon } else { RelayAt::Late });
                }
                next.marked |= rebuilds;
            }),
        }
        step(Action::RelayCrashes, &|next| next.relay = Relay::Idle);
    }

    pub(super) fn worker(&self, state: &State, worker: usize, steps: &mut Steps) {
        let mut step = |action, change: &dyn Fn(&mut State)| {
            let mut next = *state;
            change(&mut next);
            steps.push((action, next));
        };
        let Worker::Holding { token, crashes, envelope, stage } = state.workers[worker] else {
            if let Place::Waiting(envelope) = state.lane.place {
                step(Action::Claim(worker), &|next| {
                    // Later than every token; the ranks are dense.
                    let token = WORKERS as u8 + 4;
                    let crashes = next.lane.crashes;
                    next.set_lane(Place::Leased(envelope, token), crashes);
                    if next.expired >= Self::crashes() && crashes < Self::crashes() && next.lost_redis == 0 {
                        next.broken = Some(NO_MORE_CRASHES);
                    }
                    next.workers[worker] = Worker::Holding { token, crashes, envelope, stage: Stage::Claimed };
                });
            }
            return;
        };
        let ours = matches!(state.lane.place, Place::Leased(_, held) if held == token);
        if !ours {
            step(Action::HearOfLoss(worker), &|next| next.workers[worker] = Worker::Idle);
        }
        if state.lost_workers < self.budget.lost_workers {
            step(Action::Crash(worker), &|next| {
                next.lost_workers += 1;
                next.workers[worker] = Worker::Idle;
            });
        }
        let settle = |next: &mut State, place: Place, crashes: u8| {
            if ours {
                next.set_lane(place, crashes);
                next.expired = if place == Place::Absent { 0 } else { next.expired };
            }
        };
        match stage {
            Stage::Claimed => step(Action::Begin(worker), &|next| self.begin(next, worker, token, crashes, envelope)),
            Stage::Begun(_) if self.is_without(Without::CommitBeforeSettle) => {
                let Stage::Begun(failed) = stage else { return };
                step(Action::Settle(worker), &|next| {
                    settle(next, Place::Absent, 0);
                    next.set_stage(worker, Stage::Settled(failed));
                });
            }
            Stage::Begun(failed) | Stage::Settled(failed) => {
                let doomed = crashes >= Self::crashes() || failed >= Self::runs();
                let mut end = |ending| {
                    step(Action::Commit(worker, ending), &|next| {
                        self.commit(next, token, crashes, failed, ending);
                        next.set_stage(worker, Stage::Noted);
                        if matches!(stage, Stage::Settled(_)) {
                            next.workers[worker] = Worker::Idle;
                        }
                    });
                };
                if doomed {
                    end(Ending::Bury);
                } else {
                    end(Ending::Done);
                    if state.failed_runs < self.budget.failed_runs {
                        end(if failed + 1 >= Self::runs() { Ending::Bury } else { Ending::Retry });
                    }
                }
            }
            Stage::Noted => step(Action::Settle(worker), &|next| {
                settle(next, Place::Absent, 0);
                next.workers[worker] = Worker::Idle;
            }),
        }
        if matches!(stage, Stage::Claimed | Stage::Begun(_)) {
            step(Action::GiveBack(worker), &|next| {
                settle(next, Place::Waiting(envelope), state.lane.crashes);
                next.runs = 0;
                next.workers[worker] = Worker::Idle;
            });
        }
    }

    /// Asks the ledger where the runner does.
    fn begin(&self, next: &mut State, worker: usize, token: u8, crashes: u8, envelope: Envelope) {
        let asked = (crashes > 0 && !self.is_without(Without::TakeOver))
            || (envelope.relayed && !self.is_without(Without::Asking));
        if !asked {
            self.run(next, worker, token, crashes, envelope.failed);
            return;
        }
        let wanted = match &mut next.row {
            Row::Unfinished { failed, lost, fence, due: true, .. }
                if crashes > 0 && !self.is_without(Without::TakeOver) =>
            {
                (*fence <= token).then(|| {
                    *failed += u8::from(*lost != crashes);
                    *lost = crashes;
                    *fence = token;
                    *failed
                })
            }
            Row::Unfinished { failed, due: true, .. } => Some(*failed),
            _ => None,
        };
        match wanted {
            Some(failed) => self.run(next, worker, token, crashes, failed),
            None => {
                self.return_unwanted(next);
                next.set_stage(worker, Stage::Noted);
            }
        }
    }

    /// The job leaves the lane, and the ledger holds it still.
    fn return_unwanted(&self, next: &mut State) {
        if !self.is_without(Without::Return) {
            next.return_to_relay();
        }
    }

    fn run(&self, next: &mut State, worker: usize, token: u8, crashes: u8, failed: u8) {
        next.set_stage(worker, Stage::Begun(failed));
        next.runs = (next.runs + 1).min(2);
        let Row::Unfinished { failed: counted, due, .. } = next.row else { return };
        // Under a lease: a worker that lost its own may not know yet.
        let leased = matches!(next.lane.place, Place::Leased(_, held) if held == token);
        if leased && !due && !next.late_dispatch && next.lost_redis == 0 {
            next.broken = Some(NOT_EARLY);
        }
        let spent_without_cause = next.lost_redis == 0 && counted > next.lost_workers + next.failed_runs;
        if (crashes > 0 && counted == 0) || spent_without_cause {
            next.broken = Some(ONE_ATTEMPT);
        }
    }

    /// The guarded statements.
    fn commit(&self, next: &mut State, token: u8, crashes: u8, failed: u8, ending: Ending) {
        let faulty = ending == Ending::Retry || (ending == Ending::Bury && crashes < Self::crashes());
        next.failed_runs += u8::from(faulty && failed < Self::runs());
        let Row::Unfinished { failed: counted, fence, .. } = next.row else {
            if ending == Ending::Done && self.is_without(Without::Guard) {
                next.effects += 1;
            }
            return;
        };
        if fence > token {
            if !self.is_without(Without::Fence) {
                if ending == Ending::Retry {
                    self.return_unwanted(next);
                }
                return;
            }
            next.broken = Some(FENCED);
        }
        match ending {
            Ending::Done => {
                next.row = Row::Done;
                next.effects += 1;
            }
            Ending::Retry if counted == failed => {
                next.row = Row::Unfinished {
                    failed: counted + 1,
                    lost: 0,
                    fence: token,
                    due: false,
                    relay_at: RelayAt::WhenDue,
                };
                next.outdate_relay();
            }
            Ending::Retry => self.return_unwanted(next),
            Ending::Bury => {
                if crashes < Self::crashes() && counted + 1 < Self::runs() {
                    next.broken = Some(DEAD_WITH_REASON);
                }
                next.row = Row::Dead;
            }
        }
    }
}
