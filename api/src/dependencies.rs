//! Postgres and Redis: whether they answer.

use std::{fmt::Display, time::Duration};

use crate::state::Shared;

/// A dependency that takes longer is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses between tries while something is away: the first, doubling up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Whether Postgres answers and has the schema; the reason is for the log.
pub async fn postgres(state: &Shared) -> Result<(), String> {
    bounded(state.database.ping()).await
}

pub async fn redis(state: &Shared) -> Result<(), String> {
    bounded(state.lanes.ping()).await
}

async fn bounded<E: Display>(ping: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(PING_TIMEOUT, ping).await {
        Ok(answered) => answered.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PING_TIMEOUT:?}")),
    }
}

/// Says in the log what a fresh process waits for, until all answers once. Requests are served meanwhile, as far as
/// they can be.
pub async fn announce(state: &Shared) {
    tokio::join!(until_up("Postgres", || postgres(state)), until_up("Redis", || redis(state)),);
}

async fn until_up<F: Future<Output = Result<(), String>>>(name: &str, ping: impl Fn() -> F) {
    let mut pause = FIRST_PAUSE;
    while let Err(reason) = ping().await {
        tracing::warn!(reason, "{name} is not available, trying again in {pause:?}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    tracing::info!("{name} is available");
}
