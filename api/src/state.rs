//! What every handler shares.

use std::{ops::Deref, sync::Arc, time::Duration};

use jobs::{
    domain::{egress::EgressPolicy, ids::TenantId},
    queue::{
        Dispatcher, Lanes, Work,
        signals::{Announcements, Topic},
    },
    store::{Database, Scope, StoreError, TenantTx, tenants::Tenant},
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config, cookies::Cookies, extract::Traceparent, keys::Keys, last_used::LastUsed, passwords::Passwords,
};

/// Requests that wait for a message or a search, and streams, at once.
const MAX_WAITERS: usize = 2_000;
/// Large uploads held in memory at once: 16 of 50 MB.
const MAX_UPLOADS: usize = 16;

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
    pub egress: EgressPolicy,
    pub metrics: PrometheusHandle,
    /// Cancelled when the process drains: waits end early, streams ask to be reopened.
    pub draining: CancellationToken,
    waiters: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
}

/// The state's background tasks.
pub struct Tasks {
    dispatcher: JoinHandle<()>,
    announcements: JoinHandle<()>,
    last_used: JoinHandle<()>,
}

impl AppState {
    /// Prepares the shared parts; connections are opened when first needed.
    pub fn start(config: &Config, database: Database, lanes: Lanes, metrics: PrometheusHandle) -> (Self, Tasks) {
        let (dispatcher, pushing) = Dispatcher::start(lanes.clone());
        let (announcements, listening) = Announcements::start(&lanes, Topic::Progress);
        let (last_used, noting) = LastUsed::start(database.clone());
        let state = Self(Arc::new(Shared {
            last_used,
            passwords: Passwords::new(),
            cookies: config.cookies,
            keys: Keys::new(database.clone()),
            database,
            lanes,
            dispatcher,
            announcements,
            admin_hash: config.admin_hash,
            stripe_secrets: config.stripe_secrets.clone(),
            egress: config.egress.clone(),
            metrics,
            draining: CancellationToken::new(),
            waiters: Arc::new(Semaphore::new(MAX_WAITERS)),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
        }));
        (state, Tasks { dispatcher: pushing, announcements: listening, last_used: noting })
    }
}

impl Shared {
    /// Opens a transaction to read one tenant's rows.
    pub async fn read(&self, tenant: TenantId) -> Result<TenantTx, StoreError> {
        TenantTx::begin(&self.database, Some(tenant)).await
    }

    /// Opens a transaction that may add jobs for a tenant.
    pub async fn work(&self, tenant: &Tenant, trace: &Traceparent) -> Result<Work<TenantTx>, StoreError> {
        let share = tenant.plan.share();
        Work::begin(&self.database, &self.dispatcher, Some(tenant.id), share, Some(trace.to_string())).await
    }

    /// A place among those who wait; `None` when all are taken.
    pub fn waiter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiters.clone().try_acquire_owned().ok()
    }

    /// A place among the large uploads; `None` when all are taken.
    pub fn upload(&self) -> Option<OwnedSemaphorePermit> {
        self.uploads.clone().try_acquire_owned().ok()
    }
}

impl Tasks {
    /// Waits until what was committed is pushed, at most `limit`; the relay makes up for the rest.
    pub async fn flush(self, limit: Duration) {
        self.announcements.abort();
        let (pushed, _) =
            tokio::join!(tokio::time::timeout(limit, self.dispatcher), tokio::time::timeout(limit, self.last_used));
        if pushed.is_err() {
            tracing::warn!("not all committed jobs were pushed in time; the relay will");
        }
    }
}
