//! Jobs per second through ledger and lane: insert, dispatch, run, guarded completion.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jobs::{
    domain::{
        ids::TenantId,
        plan::{LimitOverrides, Plan},
        secret::Vault,
        settings::Settings,
        stripe::PriceList,
    },
    queue::{
        Completion, Dispatcher, Done, Envelope, Failure, GroupCommit, Intakes, Job, JobContext, Lane, Retention,
        RetryPolicy, Runtime, Work, runner, signals::Announcements,
    },
    store::{Database, DatabaseConfig, Originals, Scope, StoreError, TenantTx, tenants},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{RUNS, cost, lanes, median, no_engines, setting, worker};

/// Jobs of a run, in [`CHAINS`] chains: each job's completion enqueues the next one.
const JOBS: usize = 20_000;
/// Jobs under way at once.
const CHAINS: usize = 100;
/// Tenants they belong to.
const TENANTS: usize = 50;
/// Transactions open at once, as in the pgbench run beside it.
const CLIENTS: usize = 20;

/// Does nothing but enqueue the next of its chain.
#[derive(Serialize, Deserialize)]
struct NoOp {
    tenant: TenantId,
    chain: usize,
    left: usize,
}

impl Job for NoOp {
    type Scope = TenantTx;

    const KIND: &'static str = "bench_no_op";
    const LANE: Lane = Lane { slots: worker::SLOTS, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 1, base: Duration::ZERO, cap: Duration::ZERO };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        format!("{}-{}", self.chain, self.left)
    }

    fn subject(&self) -> Option<Uuid> {
        None
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let Self { tenant, chain, left } = *self;
        let next = (left > 0).then(|| Self { tenant, chain, left: left - 1 });
        context.finish_enqueuing(next.as_slice()).await
    }

    async fn give_up(_: &mut Completion<TenantTx>, _: &Envelope, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

pub async fn run() {
    let config = DatabaseConfig { url: setting("DATABASE_URL"), max_connections: CLIENTS as u32 };
    let database = Database::connect(&config).expect("a usable URL");
    let mut tenants = Vec::with_capacity(TENANTS);
    for _ in 0..TENANTS {
        tenants.push(tenant(&database).await);
    }
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let before = cost::cpu_of("postgres");
        rates.push(once(&database, &tenants).await);
        costs.push((cost::cpu_of("postgres") - before) * 1e6 / JOBS as f64);
    }
    println!(
        "ledgered no-op, {JOBS} jobs in {CHAINS} chains of {TENANTS} tenants, {CLIENTS} connections: median {:.0} jobs/s of {:?}; {:.0} µs of Postgres per job",
        median(rates.clone()),
        rates.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
        median(costs),
    );
}

async fn once(database: &Database, tenants: &[TenantId]) -> f64 {
    let lanes = lanes();
    let (dispatcher, _) = Dispatcher::start(lanes.clone(), Intakes::default());
    let (group_commit, _) = GroupCommit::start(database.clone());
    let runtime = Runtime {
        database: database.clone(),
        dispatcher: dispatcher.clone(),
        cancellations: Announcements::default(),
        group_commit,
        engines: no_engines::engines(),
        originals: Originals::connect("target/bench-originals", []).expect("a directory"),
        vault: Vault::ephemeral(),
        prices: Arc::new(PriceList { starter: Vec::new(), pro: Vec::new() }),
        webhook_attempts: 1,
        retention: Retention { history_days: 30, message_months: 0, api_log_months: 0 },
    };
    let (stop, ran) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let counted = stop.clone();
    let working = worker::work(&lanes, NoOp::KIND, stop, move |delivery| {
        let (runtime, ran, stop) = (runtime.clone(), ran.clone(), counted.clone());
        Box::pin(async move {
            runner::run::<NoOp>(delivery, runtime).await;
            if ran.fetch_add(1, Ordering::Relaxed) + 1 == JOBS {
                stop.cancel();
            }
        })
    });
    let started = Instant::now();
    for chain in 0..CHAINS {
        let (tenant, left) = (tenants[chain % TENANTS], JOBS / CHAINS - 1);
        let mut work =
            Work::<TenantTx>::begin(database, &dispatcher, Some(tenant), Plan::Pro.share(), None).await.expect("begun");
        work.enqueue(&NoOp { tenant, chain, left }).expect("added");
        work.commit().await.expect("committed");
    }
    working.await;
    cost::per_second(JOBS as f64, started.elapsed())
}

async fn tenant(database: &Database) -> TenantId {
    let tenant = tenants::NewTenant {
        id: TenantId::generate(),
        name: "Bench".into(),
        plan: Plan::Pro,
        limits: LimitOverrides::default(),
        settings: Settings::default(),
        callback_secret: String::new().into(),
    };
    let mut tx = database.system().await.expect("a migrated database");
    tenants::insert(&mut tx, &Vault::ephemeral(), &tenant).await.expect("inserted");
    tx.commit().await.expect("committed");
    tenant.id
}
