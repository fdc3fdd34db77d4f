//! Jobs that cannot be run: each ends with its cause, whatever waits for it ends too, and nothing goes round for ever.

mod deleted_tenant;
mod long_queue;
mod payload;
mod wire;

use jobs::domain::ids::{JobId, created_at};
use serde_json::Value;
use sqlx::PgPool;
use tests::{Stack, WorkerHandle};
use uuid::Uuid;

/// A row as no enqueuer of this version would write it, due for the relay.
struct Row<'a> {
    id: JobId,
    tenant: Option<Uuid>,
    kind: &'a str,
    key: String,
    subject: Option<Uuid>,
    payload: Value,
}

impl Row<'_> {
    async fn write(&self, owner: &PgPool) {
        sqlx::query(
            "insert into jobs (id, tenant_id, kind, key, subject, payload, run_at, relay_at, created_at)
             values ($1, $2, $3, $4, $5, $6, now(), now(), $7)",
        )
        .bind(self.id.uuid())
        .bind(self.tenant)
        .bind(self.kind)
        .bind(&self.key)
        .bind(self.subject)
        .bind(&self.payload)
        .bind(created_at(self.id.uuid()))
        .execute(owner)
        .await
        .unwrap();
    }
}

/// The part of an API id that the database holds.
fn uuid_of(id: &str) -> Uuid {
    id.rsplit_once('_').and_then(|(_, hex)| Uuid::try_parse(hex).ok()).unwrap_or_else(|| panic!("{id} is no id"))
}

/// The causes of all dead letters, in the order of their kinds.
async fn causes(stack: &Stack) -> Vec<(String, String, i32)> {
    sqlx::query_as("select kind, cause, attempt from dead_jobs order by kind, cause")
        .fetch_all(stack.database.owner().await)
        .await
        .unwrap()
}

/// Ends a test whose dead letters were looked at.
async fn finish(stack: Stack) {
    sqlx::query("delete from dead_jobs").execute(stack.database.owner().await).await.unwrap();
    stack.finish().await;
}

/// How often the worker logged something.
fn logged(worker: &WorkerHandle, text: &str) -> usize {
    worker.process.log().matches(text).count()
}
