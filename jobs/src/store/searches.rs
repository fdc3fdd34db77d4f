//! Searches made through the API: asked by a request, answered by a retrieve job.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Scope, StoreError, TenantTx};
use crate::domain::ids::{DocumentId, SearchId};

/// What a search restricts itself to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parameters {
    pub limit: usize,
    pub documents: Vec<DocumentId>,
    pub tags: Vec<String>,
    pub languages: Vec<String>,
    pub min_similarity: Option<f32>,
}

/// Fails with [`StoreError::TenantClosed`] when the tenant takes no new work.
pub async fn insert(tx: &mut TenantTx, id: SearchId, query: &str, parameters: &Parameters) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    let stored = sqlx::query!(
        "insert into searches (id, tenant_id, query, parameters)
         select $1, $2, $3, $4 where exists (select from tenants where id = $2 and enabled and not erasing)",
        id.uuid(),
        tenant,
        query,
        serde_json::to_value(parameters)?,
    )
    .execute(tx.connection())
    .await?;
    if stored.rows_affected() == 1 { Ok(()) } else { Err(StoreError::TenantClosed) }
}

/// The question and its parameters; `None` when it is gone.
pub async fn find(tx: &mut TenantTx, id: SearchId) -> Result<Option<(String, Parameters)>, StoreError> {
    let row = sqlx::query!("select query, parameters from searches where id = $1", id.uuid())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Ok((row.query, serde_json::from_value(row.parameters)?))).transpose()
}

/// A search's end.
#[derive(Debug, Clone)]
pub enum Outcome {
    Found(Value),
    Failed(String),
}

/// Ends a search; `record` says who found what, with scores and times.
pub async fn finish(
    tx: &mut TenantTx,
    id: SearchId,
    outcome: &Outcome,
    record: Option<&Value>,
) -> Result<(), StoreError> {
    let (results, error) = match outcome {
        Outcome::Found(results) => (Some(results), None),
        Outcome::Failed(error) => (None, Some(error.as_str())),
    };
    sqlx::query!(
        "update searches set results = $2, retrieval = $3, error = $4, finished_at = clock_timestamp() where id = $1",
        id.uuid(),
        results,
        record,
        error,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// How a search ended; `None` while it has not.
pub async fn outcome(tx: &mut TenantTx, id: SearchId) -> Result<Option<Outcome>, StoreError> {
    let row = sqlx::query!("select results, error from searches where id = $1 and finished_at is not null", id.uuid())
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(|row| match row.error {
        Some(error) => Outcome::Failed(error),
        None => Outcome::Found(row.results.unwrap_or(Value::Null)),
    }))
}
