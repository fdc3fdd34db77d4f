//! One leader among all processes, by an advisory lock that lives as long as its session.

use sqlx::PgConnection;

use super::{Database, StoreError};

/// What there is one leader for.
#[derive(Debug, Clone, Copy)]
pub enum Office {
    Relay,
}

impl Office {
    /// The advisory lock's key: "meta" and a number of the office's own.
    const fn lock_key(self) -> i64 {
        match self {
            Self::Relay => 0x6d65_7461_0001,
        }
    }
}

/// A session that may hold an office. It has to be used more often than every 5 seconds, or Postgres ends it.
pub struct Candidate {
    office: Office,
    session: PgConnection,
}

impl Candidate {
    pub async fn new(database: &Database, office: Office) -> Result<Self, StoreError> {
        Ok(Self { office, session: database.system_session().await? })
    }

    /// Takes the office unless another session holds it.
    pub async fn try_take(&mut self) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, self.office.lock_key())
            .fetch_one(&mut self.session)
            .await?)
    }

    /// Fails when the session, and with it the office, is lost.
    pub async fn confirm(&mut self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&mut self.session).await?;
        Ok(())
    }
}
