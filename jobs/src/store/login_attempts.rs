//! How often something tried to log in without success, and how long it has to wait.
//!
//! Of the system role: an address tries accounts of many tenants, and of none.

use std::time::Duration;

use super::{Scope, StoreError, SystemTx};
use crate::domain::account::Backoff;

/// Attempts older than this are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// What attempts are counted for.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// SHA-256 of what it is.
    pub hash: [u8; 32],
    pub backoff: Backoff,
}

/// Counts an attempt, before its outcome is known, so that many at once cannot pass together. Returns how long to wait
/// instead when the subject is blocked; such an attempt is not counted.
///
/// Holds the subject's row until the transaction ends.
pub async fn begin(tx: &mut SystemTx, subject: Subject) -> Result<Option<Duration>, StoreError> {
    // The update changes nothing and locks a row that is there.
    let row = sqlx::query!(
        r#"insert into login_attempts as a (subject, attempts, last_at, blocked_until) values ($1, 0, now(), 'epoch')
           on conflict (subject) do update set subject = a.subject
           returning case when last_at < clock_timestamp() - make_interval(secs => $2) then 0 else attempts end as "attempts!",
             extract(epoch from blocked_until - clock_timestamp())::float8 as "wait!""#,
        &subject.hash[..],
        FORGOTTEN.as_secs_f64(),
    )
    .fetch_one(tx.connection())
    .await?;
    if row.wait > 0.0 {
        return Ok(Some(Duration::from_secs_f64(row.wait)));
    }
    let attempts = row.attempts.saturating_add(1);
    sqlx::query!(
        "update login_attempts set attempts = $2, last_at = clock_timestamp(),
           blocked_until = clock_timestamp() + make_interval(secs => $3) where subject = $1",
        &subject.hash[..],
        attempts,
        subject.backoff.after(attempts).as_secs_f64(),
    )
    .execute(tx.connection())
    .await?;
    Ok(None)
}

/// Forgets the attempts of a subject that succeeded.
pub async fn forget(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<(), StoreError> {
    sqlx::query!("delete from login_attempts where subject = $1", &hash[..]).execute(tx.connection()).await?;
    Ok(())
}

/// Takes one attempt back that succeeded, and leaves the others of the subject counted.
pub async fn take_back(tx: &mut SystemTx, hash: &[u8; 32]) -> Result<(), StoreError> {
    sqlx::query!("update login_attempts set attempts = greatest(attempts - 1, 0) where subject = $1", &hash[..])
        .execute(tx.connection())
        .await?;
    Ok(())
}
