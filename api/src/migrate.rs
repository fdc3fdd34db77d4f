//! Bringing the schema up to date.

use std::time::Duration;

use jobs::store;
use tokio::time::Instant;

use crate::config::{DatabaseSettings, Findings};

/// How long a Postgres that is away is waited for, and the pause between tries.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

/// Runs the migrations; waits for a Postgres that is away, and says so.
pub async fn run(settings: DatabaseSettings) -> Result<(), Vec<String>> {
    let mut findings = Findings::default();
    let database = settings.read(&mut findings);
    findings.into_result(())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store::migrate(&database.url).await {
            Err(error) if error.is_outage() && Instant::now() < deadline => {
                tracing::warn!(%error, "Postgres is not available, trying again in {PAUSE:?}");
                tokio::time::sleep(PAUSE).await;
            }
            Ok(()) => {
                tracing::info!("the schema is up to date");
                return Ok(());
            }
            Err(error) => return Err(vec![format!("migration failed: {error}")]),
        }
    }
}
