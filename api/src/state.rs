//! What every handler shares.

use std::{ops::Deref, sync::Arc, time::Duration};

use jobs::{
    domain::{egress::EgressPolicy, ids::TenantId, plan::Share, secret::Vault},
    queue::{
        Dispatcher, Intakes, Lanes, Work,
        signals::{Announcements, Topic},
    },
    store::{Database, Originals, Scope, StoreError, TenantTx, tenants::Tenant},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::Admission,
    api_log::{self, ApiLog},
    config::Config,
    cookies::Cookies,
    cors::Origin,
    extract::Traceparent,
    https::HttpsMode,
    keys::Keys,
    last_used::LastUsed,
    limits::Limits,
    passwords::Passwords,
    proxies::Proxies,
};

/// Requests that wait for a message or a search, and streams, at once.
const MAX_WAITERS: usize = 2_000;
/// Large uploads held in memory at once: 16 of 50 MB.
const MAX_UPLOADS: usize = 16;

/// Exports sent at once.
const MAX_EXPORTS: usize = 8;

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

pub struct Shared {
    pub database: Database,
    pub lanes: Lanes,
    pub originals: Originals,
    pub dispatcher: Dispatcher,
    pub announcements: Announcements,
    pub keys: Keys,
    pub last_used: LastUsed,
    pub passwords: Passwords,
    pub cookies: Cookies,
    /// SHA-256 of the environment's admin key, where there is one.
    pub admin_hash: Option<[u8; 32]>,
    /// Empty: Stripe's events are refused.
    pub stripe_secrets: Vec<String>,
    /// Seals what the database holds of secrets.
    pub vault: Vault,
    pub egress: EgressPolicy,
    pub limits: Limits,
    pub admission: Admission,
    pub api_log: ApiLog,
    pub proxies: Proxies,
    pub https: HttpsMode,
    /// Whose scripts may call the API.
    pub origins: Vec<Origin>,
    /// Longest silence within a body.
    pub body_timeout: Duration,
    pub metrics: PrometheusHandle,
    /// Cancelled when the process drains: waits end early, streams ask to be reopened.
    pub draining: CancellationToken,
    waiters: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    exports: Arc<Semaphore>,
}

/// The state's background tasks.
pub struct Tasks {
    dispatcher: JoinHandle<()>,
    announcements: JoinHandle<()>,
    watching: JoinHandle<()>,
    /// Ends those below, after a last batch.
    stop: CancellationToken,
    logging: JoinHandle<()>,
    adding_up: JoinHandle<()>,
    last_used: JoinHandle<()>,
}

impl AppState {
    /// Prepares the shared parts; connections are opened when first needed.
    pub fn start(
        config: &Config,
        database: Database,
        lanes: Lanes,
        originals: Originals,
        limits: Limits,
        metrics: PrometheusHandle,
    ) -> (Self, Tasks) {
        let edge = &config.edge;
        let (api_log, writer) = api_log::channel(database.clone(), edge.log_buffer);
        let (dispatcher, pushing) = Dispatcher::start(lanes.clone(), Intakes::default());
        let (announcements, listening) = Announcements::start(&lanes, &[Topic::Progress, Topic::Ended]);
        let (last_used, noting) = LastUsed::start(database.clone());
        let state = Self(Arc::new(Shared {
            last_used,
            passwords: Passwords::new(),
            cookies: config.cookies,
            keys: Keys::new(database.clone()),
            database,
            lanes,
            originals,
            dispatcher,
            announcements,
            admin_hash: config.admin_hash,
            stripe_secrets: config.stripe_secrets.clone(),
            vault: config.vault.clone(),
            egress: config.egress.clone(),
            limits,
            admission: Admission::new(edge.admission),
            api_log,
            proxies: edge.proxies.clone(),
            https: edge.https,
            origins: edge.origins.clone(),
            body_timeout: edge.body_timeout,
            metrics,
            draining: CancellationToken::new(),
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
        }));
        let stop = CancellationToken::new();
        let logging = tokio::spawn(writer.run(stop.clone()));
        let adding_up = tokio::spawn({
            let (state, stop) = (state.clone(), stop.clone());
            async move { state.limits.calls.add_up(stop).await }
        });
        let watching = tokio::spawn({
            let state = state.clone();
            async move { state.admission.watch(&state.database).await }
        });
        let tasks = Tasks {
            dispatcher: pushing,
            announcements: listening,
            watching,
            stop,
            logging,
            adding_up,
            last_used: noting,
        };
        (state, tasks)
    }
}

impl Shared {
    /// Opens a transaction to read one tenant's rows.
    pub async fn read(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        TenantTx::begin(&self.database, Some(tenant)).await
    }

    /// As [`AppState::read`], for what is found by its key and read over and over.
    pub async fn look_up(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        self.database.tenant_by_key(tenant).await
    }

    /// Opens a transaction that may add jobs for a tenant.
    pub async fn work(&self, tenant: &Tenant, trace: &Traceparent) -> Result<Work<TenantTx>, StoreError> {
        let share = tenant.plan.share();
        let tx = self.look_up(tenant.id).await?;
        Ok(Work::new(tx, self.dispatcher.clone(), share, Some(trace.to_string())))
    }

    /// Opens a transaction of the operator's, about a tenant or about none.
    pub async fn operators_work<S: Scope>(&self, tenant: Option<TenantId>) -> Result<Work<S>, StoreError> {
        Work::begin(&self.database, &self.dispatcher, tenant, Share::PLATFORM, None).await
    }

    /// A place among those who wait; `None` when all are taken.
    pub fn waiter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiters.clone().try_acquire_owned().ok()
    }

    /// A place among the large uploads; `None` when all are taken.
    pub fn upload(&self) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().try_acquire_owned().ok()
    }

    /// A place among the exports; `None` when all are taken.
    pub fn export(&self) -> Option<OwnedSemaphorePermit> {
        self.exports.clone().try_acquire_owned().ok()
    }
}

impl Tasks {
    /// Waits until what was committed is pushed, and what was counted and logged is written, at most `limit`; the relay
    /// makes up for what was not pushed.
    pub async fn flush(self, limit: Duration) {
        self.announcements.abort();
        self.watching.abort();
        self.stop.cancel();
        let written = async { tokio::join!(self.logging, self.adding_up, self.last_used) };
        let (pushed, written) =
            tokio::join!(tokio::time::timeout(limit, self.dispatcher), tokio::time::timeout(limit, written));
        if pushed.is_err() {
            tracing::warn!("not all committed jobs were pushed in time; the relay will");
        }
        if written.is_err() {
            tracing::warn!("not all calls and log entries were written in time");
        }
    }
}
