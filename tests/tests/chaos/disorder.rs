//! What goes wrong: processes and servers that are killed, stopped and wiped.

use std::time::Duration;

use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use tests::{PrivatePostgres, PrivateRedis, Stack};
use tokio::time::Instant;

use super::WORKERS;

/// Between two kills of a worker.
const KILL_EVERY: Duration = Duration::from_secs(2);
/// Kills between two other disturbances.
const KILLS_BETWEEN: usize = 3;
/// More than twice the tests' lease.
const STOPPED_FOR: Duration = Duration::from_secs(5);
/// How long a server is away at most.
const AWAY_MS: u64 = 1_500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    FlushRedis,
    CrashRedis,
    CrashPostgres,
    StopWorker,
    KillApi,
}

impl Disturbance {
    const ALL: [Self; 5] = [Self::FlushRedis, Self::CrashRedis, Self::CrashPostgres, Self::StopWorker, Self::KillApi];
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub workers_killed: usize,
    pub workers_stopped: usize,
    pub apis_killed: usize,
    pub redis_flushes: usize,
    pub redis_crashes: usize,
    pub postgres_crashes: usize,
}

impl Tally {
    /// Times that a process seemed lost to its lanes: killed, stopped for longer than a lease, or cut off from a Redis
    /// that kept the leases and came back when they had expired.
    pub fn lost_processes(&self) -> usize {
        self.workers_killed + self.workers_stopped + WORKERS * self.redis_crashes
    }
}

pub struct Disorder<'a> {
    stack: &'a mut Stack,
    postgres: &'a mut PrivatePostgres,
    redis: &'a mut PrivateRedis,
    random: StdRng,
    began: Instant,
    /// A stopped worker's process id, and when it goes on.
    stopped: Option<(u32, Instant)>,
    tally: Tally,
}

impl<'a> Disorder<'a> {
    pub fn new(
        stack: &'a mut Stack,
        postgres: &'a mut PrivatePostgres,
        redis: &'a mut PrivateRedis,
        random: StdRng,
    ) -> Self {
        let began = Instant::now();
        Self { stack, postgres, redis, random, began, stopped: None, tally: Tally::default() }
    }

    /// Kills a worker every [`KILL_EVERY`] and does the rest in turn, until `over` and everything was done once.
    pub async fn rage_until(&mut self, mut over: impl FnMut() -> bool) {
        for round in 0_usize.. {
            let mut turns = Disturbance::ALL;
            turns.shuffle(&mut self.random);
            for disturbance in turns {
                for _ in 0..KILLS_BETWEEN {
                    // Clients give up before long, so this ends.
                    if over() && round > 0 {
                        return;
                    }
                    tokio::time::sleep(KILL_EVERY).await;
                    self.resume_when_due();
                    self.kill_worker();
                }
                self.disturb(disturbance).await;
            }
        }
    }

    /// Leaves the installation to recover.
    pub async fn end(mut self) -> Tally {
        if let Some((_, until)) = self.stopped {
            tokio::time::sleep_until(until).await;
            self.resume_when_due();
        }
        self.log("it is over");
        self.tally
    }

    async fn disturb(&mut self, disturbance: Disturbance) {
        let away = Duration::from_millis(self.random.random_range(100..AWAY_MS));
        self.log(&format!("{disturbance:?} (away for {away:?})"));
        match disturbance {
            Disturbance::FlushRedis => {
                self.redis.flush().await;
                self.tally.redis_flushes += 1;
            }
            Disturbance::CrashRedis => {
                self.redis.crash(away).await;
                self.tally.redis_crashes += 1;
            }
            Disturbance::CrashPostgres => {
                self.postgres.crash(away).await;
                self.tally.postgres_crashes += 1;
            }
            Disturbance::StopWorker => self.stop_worker(),
            Disturbance::KillApi => {
                self.stack.api.as_mut().expect("an api").kill();
                tokio::time::sleep(away).await;
                self.stack.launch_api();
                self.tally.apis_killed += 1;
            }
        }
    }

    /// A crash of any of the workers that are not stopped; another one takes its place.
    fn kill_worker(&mut self) {
        let victim = self.victim();
        let mut worker = self.stack.workers.remove(victim);
        self.log(&format!("kill worker {}", worker.process.id()));
        assert!(worker.process.is_running(), "a worker ended by itself:\n{}", worker.process.log());
        worker.process.kill();
        self.stack.launch_worker();
        self.tally.workers_killed += 1;
    }

    fn stop_worker(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        let victim = self.victim();
        let process = &self.stack.workers[victim].process;
        process.signal(libc::SIGSTOP);
        self.stopped = Some((process.id(), Instant::now() + STOPPED_FOR));
        self.tally.workers_stopped += 1;
    }

    fn resume_when_due(&mut self) {
        let Some((id, _)) = self.stopped.filter(|(_, until)| *until <= Instant::now()) else { return };
        let worker = self.stack.workers.iter().find(|worker| worker.process.id() == id).expect("it was spared");
        worker.process.signal(libc::SIGCONT);
        self.stopped = None;
        self.log(&format!("worker {id} goes on"));
    }

    fn victim(&mut self) -> usize {
        let stopped = self.stopped.map(|(id, _)| id);
        let able: Vec<usize> =
            (0..self.stack.workers.len()).filter(|n| Some(self.stack.workers[*n].process.id()) != stopped).collect();
        able[self.random.random_range(0..able.len())]
    }

    fn log(&self, what: &str) {
        println!("{:7.2} s  {what}", self.began.elapsed().as_secs_f64());
    }
}
