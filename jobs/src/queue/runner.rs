//! Runs a claimed job and turns its outcome into what the ledger and the lane hear.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{FutureExt, future::BoxFuture};
use tracing::{Instrument, Span, field};

use super::{
    backend::{Delivery, Lease},
    context::{JobContext, Runtime},
    cpu,
    envelope::Envelope,
    job::Job,
    outcome::Failure,
};
use crate::{
    domain::plan::Plan,
    store::{Scope, StoreError, SystemTx, jobs as ledger, relay},
    trace,
};

/// Workers a job may cost before it is dead.
const MAX_CRASHES: u32 = 3;
/// Tries to note an outcome while Postgres is away, and the wait before the first further one (doubling).
const NOTE_TRIES: u32 = 6;
const NOTE_BACKOFF: Duration = Duration::from_millis(200);
/// Keeps a job that cannot be noted from being claimed again in a tight loop.
const RELEASE_PAUSE: Duration = Duration::from_secs(1);

/// Runs one delivery of kind `J` to its end. Never fails: what goes wrong is the job's outcome.
///
/// Boxed: the compiler cannot see through the nested futures that this one may move between threads.
pub fn run<J: Job>(delivery: Delivery, runtime: Runtime) -> BoxFuture<'static, ()> {
    run_delivery::<J>(delivery, runtime).boxed()
}

async fn run_delivery<J: Job>(delivery: Delivery, runtime: Runtime) {
    let Delivery { envelope, crashes, lease } = delivery;
    let mut envelope = match envelope {
        Ok(envelope) => envelope,
        Err(error) => {
            // Written by a version with another envelope: the ledger's row is pushed again by the relay.
            tracing::error!(kind = J::KIND, error, "undecodable envelope dropped");
            return lease.finish();
        }
    };
    // What follows from this run, calls to others included, is a child of it.
    let (traced, own) = trace::join(span_of::<J>(&envelope), envelope.traceparent.as_deref());
    envelope.traceparent = own;
    let logged = tracing::info_span!(
        "job",
        kind = J::KIND,
        job = %envelope.id,
        tenant = envelope.tenant.map(field::display),
        attempt = envelope.attempt + 1,
        trace_id = envelope.traceparent.as_deref().map(trace::id),
    );
    let lost = lease.lost().clone();
    // Boxed: thousands may wait in it, and each future around it would keep room for it, some twice.
    let run = cpu::timed(run_leased::<J>(envelope, crashes, &lease, runtime, &traced).boxed());
    let outcome = tokio::select! {
        biased;
        () = lost.cancelled() => "lease_lost",
        (outcome, spent) = run.instrument(logged).instrument(traced.clone()) => {
            metrics::histogram!("metachat_job_cpu_seconds", "kind" => J::KIND).record(spent.as_secs_f64());
            outcome.unwrap_or("released")
        },
    };
    count::<J>(outcome);
    traced.record("metachat.job.outcome", outcome);
    if !matches!(outcome, "done" | "stale") {
        trace::fail(&traced);
    }
    drop(traced);
    match outcome {
        "lease_lost" => {}
        // Dropping the lease puts the job back: the ledger still says what it said before this run.
        "released" => tokio::time::sleep(RELEASE_PAUSE).await,
        _ => lease.finish(),
    }
}

/// The span of one run.
fn span_of<J: Job>(envelope: &Envelope) -> Span {
    if !trace::wanted(envelope.traceparent.as_deref()) {
        return Span::none();
    }
    tracing::info_span!(
        target: trace::TARGET,
        "consumer",
        "otel.name" = J::KIND,
        "otel.kind" = "consumer",
        "otel.status_code" = field::Empty,
        "messaging.system" = "metachat",
        "messaging.operation.type" = "process",
        "messaging.destination.name" = J::KIND,
        "messaging.message.id" = %envelope.id,
        "metachat.tenant.id" = envelope.tenant.map(field::display),
        "metachat.job.attempt" = field::Empty,
        "metachat.job.wait_ms" = field::Empty,
        "metachat.job.outcome" = field::Empty,
    )
}

/// Returns how the run ended, as counted; `None` when the ledger could not be told.
async fn run_leased<J: Job>(
    envelope: Envelope,
    crashes: u32,
    lease: &Lease,
    runtime: Runtime,
    traced: &Span,
) -> Option<&'static str> {
    let started = Instant::now();
    let waited = (Utc::now() - envelope.due_at).to_std().unwrap_or_default();
    let mut context = JobContext { runtime, envelope, token: lease.token(), started_at: Utc::now() };
    if !still_ours(&mut context, crashes).await? {
        return Some("stale");
    }
    metrics::histogram!("metachat_job_wait_seconds", "kind" => J::KIND).record(waited.as_secs_f64());
    let plan = context.envelope.tenant.and_then(|_| Plan::of_share(context.envelope.share));
    if let Some(plan) = plan {
        metrics::histogram!("metachat_plan_wait_seconds", "plan" => plan.as_str()).record(waited.as_secs_f64());
    }
    traced.record("metachat.job.attempt", context.attempt());
    traced.record("metachat.job.wait_ms", waited.as_secs_f64() * 1000.0);

    let outcome = attempt::<J>(&context, crashes).await;
    metrics::histogram!("metachat_job_run_seconds", "kind" => J::KIND).record(started.elapsed().as_secs_f64());
    match outcome {
        Ok(()) => Some("done"),
        Err(Failure::Stale) => Some("stale"),
        Err(Failure::Outage(cause)) => {
            tracing::warn!(cause, "the store is out of reach, the run does not count");
            None
        }
        Err(failure) => settle_failure::<J>(&context, failure).await,
    }
}

/// Whether the ledger still wants this run. Asked only when something may have happened since the push: the
/// relay pushed it, or a worker was lost with it. A job that it does not want now is the relay's again.
async fn still_ours(context: &mut JobContext, crashes: u32) -> Option<bool> {
    if crashes == 0 && !context.envelope.relayed {
        return Some(true);
    }
    let id = context.envelope.id;
    let (database, token) = (&context.runtime.database, context.token);
    let wanted = noted(|| {
        async move {
            let mut tx = SystemTx::begin(database, None).await?;
            let attempt = if crashes > 0 {
                ledger::take_over(tx.connection(), id, token, crashes).await?
            } else {
                ledger::due_attempt(tx.connection(), id).await?
            };
            if attempt.is_none() {
                relay::return_to_relay(tx.connection(), id).await?;
            }
            tx.commit().await?;
            Ok(attempt)
        }
        .boxed()
    })
    .await?;
    if let Some(attempt) = wanted {
        context.envelope.attempt = attempt;
    }
    Some(wanted.is_some())
}

/// One run: decodes the payload, bounds the time, catches a panic.
async fn attempt<J: Job>(context: &JobContext, crashes: u32) -> Result<(), Failure> {
    let job: J = context.envelope.decode().map_err(Failure::Abandon)?;
    if crashes >= MAX_CRASHES {
        let cause = format!("{crashes} workers were lost while they ran it");
        return Err(Failure::Abandon(cause));
    }
    if context.attempt() > J::RETRY.attempts {
        let cause = format!("{} of {} runs failed; the last worker was lost", context.attempt() - 1, J::RETRY.attempts);
        return Err(Failure::Abandon(cause));
    }
    let run = AssertUnwindSafe(job.run(context)).catch_unwind();
    match tokio::time::timeout(J::TIMEOUT, run).await {
        Ok(Ok(Ok(_done))) => Ok(()),
        Ok(Ok(Err(failure))) => Err(failure),
        Ok(Err(panic)) => Err(Failure::Retry(format!("panicked: {}", panic_message(&*panic)))),
        Err(_) => Err(Failure::Retry(format!("did not finish within {:?}", J::TIMEOUT))),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Puts the job off or buries it; returns which.
async fn settle_failure<J: Job>(context: &JobContext, failure: Failure) -> Option<&'static str> {
    // Postgres text holds no NUL; a cause may quote anything.
    let cause = failure.to_string().replace('\0', "");
    let spent = context.attempt() >= J::RETRY.attempts;
    let delay = match failure {
        Failure::Retry(_) if !spent => Some(J::RETRY.delay(context.attempt())),
        Failure::RetryAfter { after, .. } if !spent => Some(after.min(J::RETRY.cap)),
        _ => None,
    };
    let Some(delay) = delay else {
        tracing::error!(cause, "job gave up");
        noted(|| bury::<J>(context, &cause).boxed()).await?;
        return Some("dead");
    };
    tracing::warn!(cause, ?delay, "job failed, will run again");
    noted(|| put_off(context, delay, &cause).boxed()).await?;
    Some("retry")
}

async fn put_off(context: &JobContext, delay: Duration, cause: &str) -> Result<(), StoreError> {
    let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
    let Envelope { id, attempt, .. } = context.envelope;
    if !ledger::retry(tx.connection(), id, context.token, attempt, delay, cause).await? {
        // Counted by another run: with this lease the job leaves the lane, so the relay has to look at it.
        relay::return_to_relay(tx.connection(), id).await?;
    }
    tx.commit().await
}

/// Moves the job to the dead letters together with what giving up means to its kind. Where that itself fails, the job
/// goes alone: left in the ledger it would come back for ever.
async fn bury<J: Job>(context: &JobContext, cause: &str) -> Result<(), StoreError> {
    let error = match bury_with_meaning::<J>(context, cause).await {
        Err(error) if !error.is_outage() => error,
        ended => return ended,
    };
    let cause = format!("{cause}; what waits for it was not told: {error}");
    tracing::error!(cause, "job buried alone");
    let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
    ledger::bury(tx.connection(), context.envelope.id, context.token, &cause).await?;
    tx.commit().await
}

async fn bury_with_meaning<J: Job>(context: &JobContext, cause: &str) -> Result<(), StoreError> {
    let Some(mut burial) = context.bury::<J::Scope>(cause).await? else {
        return Ok(());
    };
    J::give_up(&mut burial, &context.envelope, cause).await?;
    burial.commit_burial().await
}

/// Tries to note something in the ledger while Postgres may be away; `None` when it stays away.
async fn noted<'a, T>(note: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>) -> Option<T> {
    for tried in 1..=NOTE_TRIES {
        match note().await {
            Ok(value) => return Some(value),
            Err(error) if tried == NOTE_TRIES || !error.is_outage() => {
                tracing::error!(%error, tried, "the ledger could not be told");
                return None;
            }
            Err(_) => tokio::time::sleep(NOTE_BACKOFF * 2_u32.pow(tried - 1)).await,
        }
    }
    None
}

/// How runs end, as counted.
const OUTCOMES: [&str; 6] = ["done", "retry", "dead", "stale", "released", "lease_lost"];

/// Puts what is counted of a kind at zero, so that the first one of a process shows as an increase.
pub fn count_from_zero<J: Job>() {
    metrics::counter!("metachat_leases_stale_total", "kind" => J::KIND).absolute(0);
    for outcome in OUTCOMES {
        metrics::counter!("metachat_jobs_total", "kind" => J::KIND, "outcome" => outcome).absolute(0);
    }
}

fn count<J: Job>(outcome: &'static str) {
    metrics::counter!("metachat_jobs_total", "kind" => J::KIND, "outcome" => outcome).increment(1);
}
