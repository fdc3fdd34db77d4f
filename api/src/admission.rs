//! Admission: past a limit the api says so before it accepts anything.
//!
//! Two watchers look at the ledger's backlog and at the wait for a connection, and open or close a gate each. A request
//! reads two flags. Only routes that add work are closed; reads, and what relieves the ledger, stay open.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use jobs::store::{Database, Scope, StoreError, SystemTx, job_counts};

use crate::{
    config::AdmissionConfig,
    problem::{Kind, Problem},
    state::AppState,
};

/// Between looks at the backlog. Counting goes to the limit and no further, and never takes more than a twentieth of the
/// time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const REST: u32 = 20;
/// Between looks at the pool.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// A backlog drains slowly, a pool quickly.
const BACKLOG_RETRY: Duration = Duration::from_secs(10);
const POOL_RETRY: Duration = Duration::from_secs(1);

/// `POST` routes that add no work to the ledger or take some from it.
const STAY_OPEN: [&str; 3] = ["/v1/messages/{id}/cancel", "/v1/jobs/dead/discard", "/webhooks/stripe"];

/// What is closed now.
pub struct Admission {
    config: AdmissionConfig,
    backlog: AtomicBool,
    pool: AtomicBool,
}

impl Admission {
    pub fn new(config: AdmissionConfig) -> Self {
        Self { config, backlog: AtomicBool::new(false), pool: AtomicBool::new(false) }
    }

    fn refusal(&self) -> Option<Problem> {
        let (reason, detail, retry) = if self.backlog.load(Ordering::Relaxed) {
            ("backlog", "Too much accepted work waits already.", BACKLOG_RETRY)
        } else if self.pool.load(Ordering::Relaxed) {
            ("pool", "The database has no connection free.", POOL_RETRY)
        } else {
            return None;
        };
        metrics::counter!("metachat_admission_refused_total", "reason" => reason).increment(1);
        Some(Problem::new(Kind::Overloaded).detail(detail).with("reason", reason).retry_after(retry))
    }

    /// Watches until it is aborted.
    pub async fn watch(&self, database: &Database) {
        tokio::join!(self.watch_backlog(database), self.watch_pool(database));
    }

    async fn watch_backlog(&self, database: &Database) {
        loop {
            let started = Instant::now();
            match unfinished(database, self.config.max_backlog).await {
                Ok(backlog) => {
                    metrics::gauge!("metachat_admission_backlog").set(backlog as f64);
                    // Opens a tenth below the limit, so that it does not flutter.
                    let closed = self.backlog.load(Ordering::Relaxed);
                    let limit = self.config.max_backlog;
                    let close = backlog >= if closed { limit - limit / 10 } else { limit };
                    turn(&self.backlog, "backlog", close);
                }
                // What was known stays; a database that is away is seen by the other watcher.
                Err(error) => tracing::warn!(%error, "the backlog is not known"),
            }
            tokio::time::sleep(LOOK_EVERY.max(started.elapsed() * REST)).await;
        }
    }

    async fn watch_pool(&self, database: &Database) {
        loop {
            let started = Instant::now();
            let waited = tokio::time::timeout(self.config.max_pool_wait, database.await_connection()).await;
            metrics::gauge!("metachat_admission_pool_wait_seconds").set(started.elapsed().as_secs_f64());
            match waited {
                Ok(Ok(())) => turn(&self.pool, "pool", false),
                // Not so while connections are being opened, or cannot be: what needs one says so itself.
                _ if database.is_taken() => turn(&self.pool, "pool", true),
                _ => {}
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }
}

async fn unfinished(database: &Database, most: i64) -> Result<i64, StoreError> {
    let mut tx = SystemTx::begin(database, None).await?;
    let count = job_counts::unfinished(tx.connection(), most).await?;
    tx.commit().await?;
    Ok(count)
}

fn turn(flag: &AtomicBool, reason: &'static str, close: bool) {
    metrics::gauge!("metachat_admission_closed", "reason" => reason).set(if close { 1.0 } else { 0.0 });
    match (flag.swap(close, Ordering::Relaxed), close) {
        (false, true) => tracing::warn!(reason, "new work is refused"),
        (true, false) => tracing::info!(reason, "new work is accepted again"),
        _ => {}
    }
}

/// Refuses what would add work while a gate is closed.
pub async fn admit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match adds_work(&request).then(|| state.admission.refusal()).flatten() {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn adds_work(request: &Request) -> bool {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    request.method() == Method::POST && route.is_some_and(|route| !STAY_OPEN.contains(&route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi;

    #[test]
    fn routes_that_stay_open_exist() {
        let document = serde_json::to_value(openapi::document()).unwrap();
        for route in STAY_OPEN {
            assert!(document["paths"][route]["post"].is_object(), "{route}");
        }
    }
}
