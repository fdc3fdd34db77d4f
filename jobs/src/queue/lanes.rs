//! Lanes on Redis: one per kind, each a set of bounded scripts.
//!
//! A job becomes ready with a virtual start (start-time fair queueing: 1 / weight after its tenant's last), as long as
//! its tenant has fewer jobs ready and running than its in-flight cap; until then it waits in its tenant's own queue. A
//! claim takes the smallest starts, whoever's they are, and hands out leases: its cost depends neither on the backlog
//! nor on the number of tenants. The lease's member in the `leases` set is the fence: renewing and settling name it,
//! and a worker whose member is gone changes nothing. Tokens are microseconds of the server's clock, so they grow even
//! across a loss of all data.
//!
//! All keys of a lane share a hash tag and live in one slot of a cluster.

mod epoch;
mod member;

use std::{sync::LazyLock, time::Duration};

use redis::Script;
use uuid::Uuid;

pub(super) use self::epoch::{Epoch, Filled};
pub use self::member::Member;
use super::{envelope::Envelope, signals::Topic, wire::Wire};
use crate::domain::ids::TenantId;

macro_rules! script {
    ($file:literal) => {
        LazyLock::new(|| Script::new(concat!(include_str!("lanes/prelude.lua"), include_str!($file))))
    };
}

static NOTE: LazyLock<Script> = script!("lanes/note.lua");
static EXCHANGE: LazyLock<Script> = script!("lanes/exchange.lua");
static RENEW: LazyLock<Script> = script!("lanes/renew.lua");
static EPOCH: LazyLock<Script> = script!("lanes/epoch.lua");
static HELD: LazyLock<Script> = script!("lanes/held.lua");

/// Expired leases a claim puts back at most.
const REAP: usize = 100;
/// Members or jobs one script call handles at most.
pub(super) const BATCH: usize = 250;

#[derive(Debug, Clone)]
pub struct LanesConfig {
    /// `redis://…`, `redis-cluster://…,…` or `redis-sentinel://…,…#master`.
    pub url: String,
    /// Begins every key, so that several installations can share a server.
    pub prefix: String,
    /// How long a claimed job belongs to a worker that gives no sign of life.
    pub lease: Duration,
}

/// What became of a pushed job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The lane holds it now, or held it already.
    Queued,
    /// A worker is running it.
    Running,
    /// The lane's window is full; it stays in Postgres for now.
    Full,
}

/// A claimed job.
#[derive(Debug)]
pub struct Claimed {
    pub member: Member,
    /// Workers lost while they ran it.
    pub crashes: u32,
    pub envelope: Result<Envelope, String>,
}

/// What a lane is told and asked for in one call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exchange<'a> {
    /// Leases that ended, at most [`BATCH`].
    pub ended: &'a [(Settlement, Member)],
    /// Jobs to add, at most [`BATCH`]; one that the lane holds already is left as it is.
    pub added: &'a [Envelope],
    /// Jobs to claim at most.
    pub wanted: usize,
    /// Whether one of them may be a job whose workers crashed twice.
    pub quarantined: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Exchanged {
    pub claimed: Vec<Claimed>,
    /// One for each job that was added.
    pub pushed: Vec<Pushed>,
    /// Leases that were lost before they were handed in.
    pub stale: usize,
    /// Jobs of the lane that no worker has; told where leases were handed in or jobs wanted.
    pub unclaimed: usize,
}

/// How a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The job leaves the lane; the ledger knows what became of it.
    Finish,
    /// The job goes back, before all that was never claimed.
    Release,
}

/// How much a lane holds at most; the rest waits in Postgres.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Jobs of the lane.
    pub lane: usize,
    /// Jobs of one tenant, so that one tenant cannot fill the lane.
    pub tenant: usize,
}

const WINDOW: Window = Window { lane: 100_000, tenant: 2_000 };

/// Numbers of one lane, read in O(1).
#[derive(Debug, Clone, Copy, Default)]
pub struct LaneStats {
    /// Jobs held, running ones included.
    pub held: usize,
    pub in_flight: usize,
}

/// All lanes of an installation.
#[derive(Clone)]
pub struct Lanes {
    wire: Wire,
    config: LanesConfig,
    window: Window,
}

impl Lanes {
    /// Connects lazily: a Redis that is down is retried in the background, and calls fail until it is back.
    pub fn connect(config: LanesConfig) -> Result<Self, redis::RedisError> {
        Ok(Self { wire: Wire::connect(&config.url)?, config, window: WINDOW })
    }

    /// The same lanes with another bound on what they take.
    pub fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }

    pub fn config(&self) -> &LanesConfig {
        &self.config
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    fn base(&self, kind: &str) -> String {
        format!("{}:{{{kind}}}", self.config.prefix)
    }

    /// The channel that tells workers of a kind that there is something to claim.
    pub(super) fn wake_channel(&self, kind: &str) -> String {
        format!("{}:wake:{kind}", self.config.prefix)
    }

    /// The channel that tells processes about messages and searches.
    pub(super) fn topic_channel(&self, topic: Topic) -> String {
        format!("{}:{}", self.config.prefix, topic.as_str())
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), redis::RedisError> {
        redis::cmd("PING").query_async(&mut self.wire.clone()).await
    }

    /// Adds jobs to a kind's lane; one that the lane holds already is left as it is.
    pub async fn push(&self, kind: &str, jobs: &[Envelope]) -> Result<Vec<Pushed>, redis::RedisError> {
        let mut results = Vec::with_capacity(jobs.len());
        for added in jobs.chunks(BATCH) {
            results.extend(self.exchange(kind, Exchange { added, ..Exchange::default() }).await?.pushed);
        }
        Ok(results)
    }

    /// Hands in leases, adds jobs and claims others, in this order and in one call; puts back expired leases on the way when jobs
    /// are wanted.
    pub async fn exchange(&self, kind: &str, exchange: Exchange<'_>) -> Result<Exchanged, redis::RedisError> {
        let Exchange { ended, added, wanted, quarantined } = exchange;
        let of = |wanted| ended.iter().filter(move |(settlement, _)| *settlement == wanted).map(|(_, member)| member);
        let mut call = EXCHANGE.key(self.base(kind));
        call.arg(self.config.lease.as_millis() as u64)
            .arg(REAP)
            .arg(self.wake_channel(kind))
            .arg(self.window.lane)
            .arg(self.window.tenant)
            .arg(wanted.min(BATCH))
            .arg(u8::from(quarantined))
            .arg(ended.len())
            .arg(of(Settlement::Finish).count());
        for member in of(Settlement::Finish).chain(of(Settlement::Release)) {
            call.arg(member.as_bytes());
        }
        for job in added {
            call.arg(job.id.uuid().as_bytes())
                .arg(member::tenant_name(job.tenant))
                .arg(job.share.weight.max(1))
                .arg(job.share.in_flight.max(1))
                .arg(job.priority)
                .arg(job.to_bytes().map_err(|_| unserialisable())?);
        }
        let (stale, pushed, unclaimed, claimed): (_, Vec<u8>, _, Vec<(_, _, Vec<u8>)>) =
            call.invoke_async(&mut self.wire.clone()).await?;
        let pushed = pushed.into_iter().map(|code| match code {
            0 => Pushed::Queued,
            1 => Pushed::Running,
            _ => Pushed::Full,
        });
        let claimed = claimed.into_iter().map(|(member, crashes, blob)| {
            let member = Member::read(member).ok_or_else(no_member)?;
            let envelope =
                Envelope::from_bytes(member.job(), member.tenant(), &blob).map_err(|error| error.to_string());
            Ok(Claimed { member, crashes, envelope })
        });
        let claimed = claimed.collect::<Result<_, redis::RedisError>>()?;
        Ok(Exchanged { claimed, pushed: pushed.collect(), stale, unclaimed })
    }

    /// Claims up to `n` jobs of a kind.
    pub async fn claim(&self, kind: &str, n: usize, quarantined: bool) -> Result<Vec<Claimed>, redis::RedisError> {
        Ok(self.exchange(kind, Exchange { wanted: n, quarantined, ..Exchange::default() }).await?.claimed)
    }

    /// Ends leases; returns how many were lost before.
    pub async fn settle(&self, kind: &str, leases: &[(Settlement, Member)]) -> Result<usize, redis::RedisError> {
        let mut stale = 0;
        for ended in leases.chunks(BATCH) {
            stale += self.exchange(kind, Exchange { ended, ..Exchange::default() }).await?.stale;
        }
        Ok(stale)
    }

    /// Extends leases; returns those that are lost.
    pub async fn renew(&self, kind: &str, members: &[Member]) -> Result<Vec<Member>, redis::RedisError> {
        let mut lost = Vec::new();
        for batch in members.chunks(BATCH) {
            let mut call = RENEW.key(self.base(kind));
            call.arg(self.config.lease.as_millis() as u64);
            for member in batch {
                call.arg(member.as_bytes());
            }
            let gone: Vec<Vec<u8>> = call.invoke_async(&mut self.wire.clone()).await?;
            for member in gone {
                lost.push(Member::read(member).ok_or_else(no_member)?);
            }
        }
        Ok(lost)
    }

    /// How many more jobs of a tenant the lane takes; 0 until half of its window is free, so that refills come in
    /// batches.
    pub async fn room(&self, kind: &str, tenant: Option<TenantId>) -> Result<usize, redis::RedisError> {
        let mut call = HELD.key(self.base(kind));
        let held: usize = call.arg(member::tenant_name(tenant)).invoke_async(&mut self.wire.clone()).await?;
        let window = self.window.tenant;
        Ok(if held <= window / 2 { window - held } else { 0 })
    }

    /// Depth and jobs in flight.
    pub async fn stats(&self, kind: &str) -> Result<LaneStats, redis::RedisError> {
        let base = self.base(kind);
        let (held, in_flight) = redis::pipe()
            .hlen(format!("{base}:jobs"))
            .zcard(format!("{base}:leases"))
            .query_async(&mut self.wire.clone())
            .await?;
        Ok(LaneStats { held, in_flight })
    }

    /// Reads how far the lane is filled from the ledger.
    pub(super) async fn epoch(&self, kind: &str) -> Result<Epoch, redis::RedisError> {
        let (run, note) = EPOCH.key(self.base(kind)).invoke_async(&mut self.wire.clone()).await?;
        Ok(Epoch::new(run, note))
    }

    /// Notes how far the lane is filled; returns false when it does not say any more what was read.
    pub(super) async fn note(&self, kind: &str, epoch: &mut Epoch, filled: Filled) -> Result<bool, redis::RedisError> {
        let next = epoch.noting(filled);
        let mut call = NOTE.key(self.base(kind));
        let noted = call.arg(epoch.note()).arg(&next).invoke_async(&mut self.wire.clone()).await?;
        if noted {
            epoch.noted(next);
        }
        Ok(noted)
    }

    /// Tells whoever listens for these messages or searches.
    pub(super) async fn announce(&self, subjects: &[(Topic, Uuid)]) -> Result<(), redis::RedisError> {
        let mut pipe = redis::pipe();
        for (topic, subject) in subjects {
            pipe.publish(self.topic_channel(*topic), subject.simple().to_string()).ignore();
        }
        pipe.query_async(&mut self.wire.clone()).await
    }
}

fn no_member() -> redis::RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "a lease without token and job").into()
}

fn unserialisable() -> redis::RedisError {
    (redis::ErrorKind::Client, "a job could not be serialised").into()
}
