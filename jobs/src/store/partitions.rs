//! Partitions of messages, of the API's log and of the job history, through functions that act as the schema's owner.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::StoreError;

/// A table in partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// By month.
    Messages,
    /// By month.
    ApiLogs,
    /// By day.
    JobHistory,
}

impl Parent {
    pub const ALL: [Self; 3] = [Self::Messages, Self::ApiLogs, Self::JobHistory];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::ApiLogs => "api_logs",
            Self::JobHistory => "job_history",
        }
    }
}

/// What became of a partition that should exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Created,
    Exists,
    /// The default partition has rows that belong into it: a person has to move them.
    DefaultHoldsRows,
}

/// Creates the partition that begins at `first`. Fails when a lock is not free within 200 ms.
pub async fn create(connection: &mut PgConnection, parent: Parent, first: NaiveDate) -> Result<Creation, StoreError> {
    let answer = sqlx::query_scalar!(r#"select create_partition($1, $2) as "answer!""#, parent.as_str(), first)
        .fetch_one(connection)
        .await?;
    match answer.as_str() {
        "created" => Ok(Creation::Created),
        "exists" => Ok(Creation::Exists),
        "default_holds_rows" => Ok(Creation::DefaultHoldsRows),
        _ => Err(StoreError::Unreadable { column: "create_partition", value: answer }),
    }
}

/// Drops the oldest partition of a table that ends at `before` or earlier; returns its name. Fails as [`create`] does, and
/// for a day that has not come.
pub async fn drop_oldest(
    connection: &mut PgConnection,
    parent: Parent,
    before: NaiveDate,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar!("select drop_partition($1, $2)", parent.as_str(), before).fetch_one(connection).await?)
}

/// Whether the default partition of a table holds rows, by the table's name.
pub async fn defaults_in_use(connection: &mut PgConnection) -> Result<Vec<(String, bool)>, StoreError> {
    let rows = sqlx::query!(r#"select parent as "parent!", in_use as "in_use!" from default_partitions_in_use()"#)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.parent, row.in_use)).collect())
}
