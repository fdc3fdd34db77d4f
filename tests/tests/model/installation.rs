//! One kind's ledger and lane with two workers, driven step by step. The driver plays the runner: the same calls in the
//! same order, with any other step between two of them.

use std::{collections::HashMap, time::Duration};

use chrono::Utc;
use jobs::{
    domain::{ids::JobId, plan::Share},
    queue::{
        Envelope, Lanes,
        lanes::{Claimed, Settlement},
        relay,
    },
    store::{Database, Scope, StoreError, SystemTx, jobs as ledger, relay as relay_store},
};
use tests::{PrivateRedis, TestDatabase, done, lanes_on, new_job};
use uuid::Uuid;

const KIND: &str = "retrieve";
const KINDS: [&str; 1] = [KIND];
pub const WORKERS: usize = 2;
/// Jobs of one sequence; more make its steps rarer for each.
const JOBS: usize = 4;
const LEASE: Duration = Duration::from_millis(100);
/// Runs a job may have, and workers it may cost, as a kind's policy and the runner say.
const RUNS: u32 = 5;
const CRASHES: u32 = 3;
/// Rounds of draining: every round runs what is claimable, and each job has a bounded number of runs.
const ROUNDS: usize = 12;

#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Writes a job; its push waits for [`Step::Dispatch`].
    Enqueue,
    /// The oldest waiting push arrives, however late.
    Dispatch,
    LoseDispatch,
    Claim(usize),
    /// Asks the ledger where the runner would.
    Begin(usize),
    /// Commits the run's outcome; the lease stays.
    End(usize, Ending),
    /// Settles the lease: finished when the ledger knows, released before.
    Settle(usize),
    /// Forgets everything the worker held.
    Crash(usize),
    /// Renews, and forgets what was lost.
    Renew(usize),
    LeasesExpire,
    Relay,
    RelayWhileClaiming(usize),
    RelayWhileEnding(usize),
    Refill,
    Wipe,
    Rebuild,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Done,
    Retry,
    Bury,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Claimed,
    /// With the failed runs so far.
    Begun(u32),
    /// The ledger knows what became of the run.
    Noted,
}

struct Held {
    claimed: Claimed,
    stage: Stage,
}

impl Held {
    fn envelope(&self) -> &Envelope {
        self.claimed.envelope.as_ref().expect("a decodable envelope")
    }
}

pub struct Installation<'a> {
    test: &'a TestDatabase,
    redis: &'a PrivateRedis,
    database: Database,
    lanes: Lanes,
    workers: [Vec<Held>; WORKERS],
    undispatched: Vec<Envelope>,
    jobs: Vec<JobId>,
    attempts: HashMap<Uuid, i32>,
    /// Attempts and lost workers at the last take-over.
    lost: HashMap<Uuid, (i32, u32)>,
}

impl<'a> Installation<'a> {
    /// Empty, whatever an earlier sequence left.
    pub async fn new(test: &'a TestDatabase, database: &Database, redis: &'a PrivateRedis) -> Self {
        // No unique constraint: an effect that happened twice shows.
        sqlx::raw_sql(
            "truncate jobs, job_history, dead_jobs; drop table if exists effects;
             create table effects (job uuid not null); grant insert on effects to metachat_system",
        )
        .execute(test.owner().await)
        .await
        .unwrap();
        redis.flush().await;
        let lanes = lanes_on(redis.url(), LEASE);
        Self {
            test,
            redis,
            database: database.clone(),
            lanes,
            workers: Default::default(),
            undispatched: Vec::new(),
            jobs: Vec::new(),
            attempts: HashMap::new(),
            lost: HashMap::new(),
        }
    }

    pub async fn take(&mut self, step: Step) {
        match step {
            Step::Enqueue => self.enqueue().await,
            Step::Dispatch if !self.undispatched.is_empty() => {
                let envelope = self.undispatched.remove(0);
                self.lanes.push(KIND, &[envelope]).await.unwrap();
            }
            Step::LoseDispatch => {
                self.undispatched.pop();
            }
            Step::Dispatch => {}
            Step::Claim(worker) => {
                let claimed = self.lanes.claim(KIND, 1, true).await.unwrap();
                self.workers[worker].extend(claimed.into_iter().map(|claimed| Held { claimed, stage: Stage::Claimed }));
            }
            Step::Begin(worker) => self.begin(worker).await,
            Step::End(worker, ending) => self.end(worker, ending).await,
            Step::Settle(worker) => self.settle(worker).await,
            Step::Crash(worker) => self.workers[worker].clear(),
            Step::Renew(worker) => {
                let members: Vec<_> = self.workers[worker].iter().map(|held| held.claimed.member.clone()).collect();
                let lost = self.lanes.renew(KIND, &members).await.unwrap();
                self.workers[worker].retain(|held| !lost.contains(&held.claimed.member));
            }
            Step::LeasesExpire => tokio::time::sleep(LEASE + Duration::from_millis(20)).await,
            Step::Relay => {
                self.time_passes().await;
                relay::pass(&self.database, &self.lanes, &KINDS).await.unwrap();
            }
            Step::RelayWhileClaiming(worker) => self.relay_while(Step::Claim(worker)).await,
            Step::RelayWhileEnding(worker) => self.relay_while(Step::End(worker, Ending::Retry)).await,
            Step::Refill => {
                relay::refill(&self.database, &self.lanes, &KINDS, &mut None).await.unwrap();
            }
            Step::Wipe => self.redis.flush().await,
            Step::Rebuild => {
                relay::rebuild_lost(&self.database, &self.lanes, &KINDS).await.unwrap();
            }
        }
        self.check_attempts().await;
    }

    async fn relay_while(&mut self, step: Step) {
        self.time_passes().await;
        let (database, lanes) = (self.database.clone(), self.lanes.clone());
        let pass = async {
            relay::pass(&database, &lanes, &KINDS).await.unwrap();
        };
        tokio::join!(pass, Box::pin(self.take(step)));
    }

    /// Moves the ledger's clock on by what the relay leaves a fresh row or a running job alone; leases are in Redis and
    /// keep the real one.
    async fn time_passes(&self) {
        let move_on = "update jobs set relay_at = relay_at - interval '6 s', run_at = run_at - interval '6 s'";
        sqlx::query(move_on).execute(self.test.owner().await).await.unwrap();
    }

    async fn enqueue(&mut self) {
        if self.jobs.len() == JOBS {
            return;
        }
        let job = new_job(KIND, &Uuid::now_v7().to_string());
        let id = job.id;
        let mut tx = SystemTx::begin(&self.database, None).await.unwrap();
        ledger::insert(tx.connection(), vec![job.clone()]).await.unwrap();
        tx.commit().await.unwrap();
        self.jobs.push(id);
        self.undispatched.push(Envelope::fresh(job, Share::PLATFORM, Utc::now()));
    }

    async fn begin(&mut self, worker: usize) {
        let Some(held) = self.workers[worker].iter_mut().find(|held| held.stage == Stage::Claimed) else { return };
        let (id, token, crashes) = (held.envelope().id, held.claimed.member.token(), held.claimed.crashes);
        if crashes == 0 && !held.envelope().relayed {
            held.stage = Stage::Begun(held.envelope().attempt);
            return;
        }
        let mut tx = SystemTx::begin(&self.database, None).await.unwrap();
        let attempt = if crashes > 0 {
            ledger::take_over(tx.connection(), id, token, crashes).await.unwrap()
        } else {
            ledger::due_attempt(tx.connection(), id).await.unwrap()
        };
        if attempt.is_none() {
            relay_store::return_to_relay(tx.connection(), id).await.unwrap();
        }
        tx.commit().await.unwrap();
        held.stage = attempt.map_or(Stage::Noted, Stage::Begun);
        if let (Some(attempt), true) = (attempt, crashes > 0) {
            let before = self.attempts[&id.uuid()];
            let taken_over = self.lost.insert(id.uuid(), (before, crashes));
            // A lease that was given back, by a drain or an outage, brings the count that was known.
            let spent = i32::from(taken_over != Some((before, crashes)));
            assert_eq!(attempt.cast_signed(), before + spent, "a lost worker spends one attempt");
            self.lost.insert(id.uuid(), (attempt.cast_signed(), crashes));
        }
    }

    async fn end(&mut self, worker: usize, wanted: Ending) {
        let begun = |held: &&mut Held| matches!(held.stage, Stage::Begun(_));
        let Some(held) = self.workers[worker].iter_mut().find(begun) else { return };
        let Stage::Begun(failed) = held.stage else { return };
        let ending = match wanted {
            _ if held.claimed.crashes >= CRASHES || failed >= RUNS => Ending::Bury,
            Ending::Retry if failed + 1 >= RUNS => Ending::Bury,
            wanted => wanted,
        };
        commit(&self.database, held.envelope().id, held.claimed.member.token(), failed, ending).await.unwrap();
        held.stage = Stage::Noted;
    }

    async fn settle(&mut self, worker: usize) {
        if self.workers[worker].is_empty() {
            return;
        }
        let Held { claimed, stage } = self.workers[worker].remove(0);
        let settlement = if stage == Stage::Noted { Settlement::Finish } else { Settlement::Release };
        self.lanes.settle(KIND, &[(settlement, claimed.member)]).await.unwrap();
    }

    /// Lets everything end without further faults. One worker is back late and ends its runs after the others have; the
    /// other one is gone.
    pub async fn drain(&mut self) {
        self.workers[1].clear();
        self.work_off().await;
        while self.workers[0].iter().any(|held| held.stage == Stage::Claimed) {
            self.take(Step::Begin(0)).await;
        }
        for _ in 0..self.workers[0].len() {
            self.take(Step::End(0, Ending::Done)).await;
        }
        while !self.workers[0].is_empty() {
            self.take(Step::Settle(0)).await;
        }
        self.work_off().await;
    }

    /// Runs what is claimable, with the relay at work. The ledger's clock moves on by less than the five minutes after
    /// which the relay doubts a lane: no job may need that.
    async fn work_off(&mut self) {
        let late = std::mem::take(&mut self.workers[0]);
        for _ in 0..ROUNDS {
            self.take(Step::Rebuild).await;
            self.take(Step::Relay).await;
            self.take(Step::Refill).await;
            for _ in 0..2 * JOBS {
                self.take(Step::Claim(1)).await;
                if self.workers[1].is_empty() {
                    break;
                }
                for step in [Step::Begin(1), Step::End(1, Ending::Done), Step::Settle(1)] {
                    self.take(step).await;
                }
            }
            let held = self.lanes.stats(KIND).await.unwrap().held;
            if held == 0 && self.test.count("select count(*) from jobs").await == 0 {
                break;
            }
            self.take(Step::LeasesExpire).await;
        }
        self.workers[0] = late;
    }

    /// Attempts never decrease, whatever was taken.
    async fn check_attempts(&mut self) {
        let rows: Vec<(Uuid, i32)> =
            sqlx::query_as("select id, attempt from jobs").fetch_all(self.test.owner().await).await.unwrap();
        for (id, attempt) in rows {
            let before = self.attempts.insert(id, attempt).unwrap_or_default();
            assert!(attempt >= before, "attempts of {id} fell from {before} to {attempt}");
        }
    }

    pub async fn check_end(&self) {
        let test = self.test;
        assert_eq!(test.count("select count(*) from jobs").await, 0, "a job is left that nobody will run");
        for id in &self.jobs {
            let (done, dead, effects): (i64, i64, i64) = sqlx::query_as(
                "select (select count(*) from job_history where id = $1), (select count(*) from dead_jobs where id = $1),
                   (select count(*) from effects where job = $1)",
            )
            .bind(id.uuid())
            .fetch_one(test.owner().await)
            .await
            .unwrap();
            assert_eq!(done + dead, 1, "{id} ended {done} times as done and {dead} times as dead");
            assert_eq!(effects, done, "{id} had {effects} effects and was done {done} times");
        }
        let stats = self.lanes.stats(KIND).await.unwrap();
        assert_eq!((stats.held, stats.in_flight), (0, 0), "the lane keeps something");
    }
}

/// The run's outcome, in one transaction as in the runner.
async fn commit(database: &Database, id: JobId, token: i64, failed: u32, ending: Ending) -> Result<(), StoreError> {
    let mut tx = SystemTx::begin(database, None).await?;
    let connection = tx.connection();
    match ending {
        Ending::Done => {
            if ledger::complete(connection, done(id, token)).await? {
                sqlx::query("insert into effects (job) values ($1)").bind(id.uuid()).execute(connection).await?;
            }
        }
        Ending::Retry => {
            if !ledger::retry(connection, id, token, failed, Duration::ZERO, "failed").await? {
                relay_store::return_to_relay(tx.connection(), id).await?;
            }
        }
        Ending::Bury => {
            ledger::bury(connection, id, token, "gave up").await?;
        }
    }
    tx.commit().await
}
