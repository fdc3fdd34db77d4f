//! The operator's checks of the schema: SQL files that psql runs as well.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::StoreError;

/// Would the foreign keys of messages and api_logs hold for the rows that are there?
const ORPHANS: &str = include_str!("../../../migrations/checks/orphans.sql");
/// Does the schema keep its seven promises?
const SCHEMA: &str = include_str!("../../../migrations/checks/schema.sql");

/// What was found for one foreign key.
#[derive(Debug, Clone)]
pub struct Finding {
    pub table: String,
    pub key: String,
    pub rows: i64,
    pub orphans: i64,
    /// Ids of up to ten orphans.
    pub samples: Vec<String>,
    /// `WILL PASS` or `WILL FAIL`.
    pub verdict: String,
}

/// Looks for orphans, as the login role: the database may have no roles of ours yet.
pub async fn orphans(url: &str) -> Result<Vec<Finding>, StoreError> {
    let mut owner = PgConnection::connect(url).await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(ORPHANS)).fetch_all(&mut owner).await?;
    let findings: Result<Vec<_>, sqlx::Error> = rows
        .iter()
        .map(|row| {
            Ok(Finding {
                table: row.try_get("table")?,
                key: row.try_get("key")?,
                rows: row.try_get("rows")?,
                orphans: row.try_get("orphans")?,
                samples: row.try_get("samples")?,
                verdict: row.try_get("verdict")?,
            })
        })
        .collect();
    Ok(findings?)
}

/// Tries the schema's promises; fails with those that it breaks.
pub async fn schema(url: &str) -> Result<(), StoreError> {
    let mut owner = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(SCHEMA)).execute(&mut owner).await?;
    Ok(())
}
