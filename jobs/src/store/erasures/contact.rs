//! A contact's conversations, one at a time, a batch of messages at a time.
//!
//! What hangs on a message goes with it. A job in flight loses its row in the ledger, so nothing that it does commits.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    domain::{
        erasure::{self, Rows},
        ids::ConversationId,
    },
    store::{Scope, StoreError, TenantTx},
};

/// A conversation of the contact that began by `until`; what began later is not part of the request.
pub async fn next_conversation(
    tx: &mut TenantTx,
    contact: &str,
    until: DateTime<Utc>,
) -> Result<Option<ConversationId>, StoreError> {
    let tenant = tx.tenant().uuid();
    let id = sqlx::query_scalar!(
        "select id from conversations where tenant_id = $1 and contact_id = $2 and created_at <= $3 order by id limit 1",
        tenant,
        contact,
        until,
    )
    .fetch_optional(tx.connection())
    .await?;
    Ok(id.map(ConversationId::from_uuid))
}

/// How many conversations of the contact are left.
pub async fn conversations_left(tx: &mut TenantTx, contact: &str, until: DateTime<Utc>) -> Result<i64, StoreError> {
    let tenant = tx.tenant().uuid();
    Ok(sqlx::query_scalar!(
        r#"select count(*) as "count!" from conversations where tenant_id = $1 and contact_id = $2 and created_at <= $3"#,
        tenant,
        contact,
        until,
    )
    .fetch_one(tx.connection())
    .await?)
}

/// Deletes up to `most` messages of a conversation, with all that hangs on them; returns whether there may be more. The
/// conversation is locked by the caller.
pub async fn delete_messages(
    tx: &mut TenantTx,
    conversation: ConversationId,
    most: i64,
    removed: &mut Rows,
) -> Result<bool, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        "select id, created_at from messages where conversation_id = $1 order by seq limit $2",
        conversation.uuid(),
        most,
    )
    .fetch_all(tx.connection())
    .await?;
    let (ids, times): (Vec<Uuid>, Vec<DateTime<Utc>>) = rows.into_iter().map(|row| (row.id, row.created_at)).unzip();
    delete_jobs(tx, &ids, removed).await?;
    let attempts =
        sqlx::query!("delete from webhook_attempts where tenant_id = $1 and message_id = any($2)", tenant, &ids)
            .execute(tx.connection())
            .await?;
    let events = sqlx::query!("delete from events where message_id = any($1)", &ids).execute(tx.connection()).await?;
    let stream =
        sqlx::query!("delete from message_stream where message_id = any($1)", &ids).execute(tx.connection()).await?;
    let escalations =
        sqlx::query!("delete from escalations where message_id = any($1)", &ids).execute(tx.connection()).await?;
    let messages = sqlx::query!(
        "delete from messages using unnest($1::uuid[], $2::timestamptz[]) as gone (id, created_at)
         where messages.id = gone.id and messages.created_at = gone.created_at",
        &ids,
        &times,
    )
    .execute(tx.connection())
    .await?;
    for (table, deleted) in [
        ("webhook_attempts", attempts),
        ("events", events),
        ("message_stream", stream),
        ("escalations", escalations),
        ("messages", messages),
    ] {
        erasure::add(removed, table, deleted.rows_affected());
    }
    Ok(ids.len() as i64 == most)
}

/// Deletes a conversation that has no messages any more, with what hangs on itself.
pub async fn delete_conversation(
    tx: &mut TenantTx,
    conversation: ConversationId,
    removed: &mut Rows,
) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    let id = conversation.uuid();
    delete_jobs(tx, &[id], removed).await?;
    let attempts = sqlx::query!(
        "delete from webhook_attempts where event_id in (select id from events where conversation_id = $1)",
        id
    )
    .execute(tx.connection())
    .await?;
    let events = sqlx::query!("delete from events where conversation_id = $1", id).execute(tx.connection()).await?;
    let saved = sqlx::query!(
        "delete from idempotency_keys where tenant_id = $1 and response ->> 'conversation_id' = $2",
        tenant,
        conversation.to_string(),
    )
    .execute(tx.connection())
    .await?;
    let gone = sqlx::query!("delete from conversations where tenant_id = $1 and id = $2", tenant, id)
        .execute(tx.connection())
        .await?;
    for (table, deleted) in
        [("webhook_attempts", attempts), ("events", events), ("idempotency_keys", saved), ("conversations", gone)]
    {
        erasure::add(removed, table, deleted.rows_affected());
    }
    Ok(())
}

/// Deletes the unfinished, dead and finished jobs that work on one of these.
pub(super) async fn delete_jobs(tx: &mut TenantTx, subjects: &[Uuid], removed: &mut Rows) -> Result<(), StoreError> {
    let tenant = tx.tenant().uuid();
    let unfinished = sqlx::query!("delete from jobs where tenant_id = $1 and subject = any($2)", tenant, subjects)
        .execute(tx.connection())
        .await?;
    let dead = sqlx::query!("delete from dead_jobs where tenant_id = $1 and subject = any($2)", tenant, subjects)
        .execute(tx.connection())
        .await?;
    let finished = sqlx::query!("delete from job_history where tenant_id = $1 and subject = any($2)", tenant, subjects)
        .execute(tx.connection())
        .await?;
    for (table, deleted) in [("jobs", unfinished), ("dead_jobs", dead), ("job_history", finished)] {
        erasure::add(removed, table, deleted.rows_affected());
    }
    Ok(())
}

/// What is left of a conversation, by table: what refers to it, and what refers to the messages that it had when it was
/// asked for is among that.
pub async fn left(tx: &mut TenantTx, conversation: ConversationId) -> Result<Rows, StoreError> {
    let tenant = tx.tenant().uuid();
    let rows = sqlx::query!(
        r#"select 'conversations' as "name!", count(*) as "rows!" from conversations where tenant_id = $1 and id = $2
           union all select 'messages', count(*) from messages where conversation_id = $2
           union all select 'message_stream', count(*) from message_stream where tenant_id = $1 and conversation_id = $2
           union all select 'escalations', count(*) from escalations where tenant_id = $1 and conversation_id = $2
           union all select 'events', count(*) from events where conversation_id = $2
           union all select 'jobs', count(*) from jobs where tenant_id = $1 and subject = $2
           union all select 'dead_jobs', count(*) from dead_jobs where tenant_id = $1 and subject = $2
           union all select 'idempotency_keys', count(*) from idempotency_keys
             where tenant_id = $1 and response ->> 'conversation_id' = $3"#,
        tenant,
        conversation.uuid(),
        conversation.to_string(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.rows)).collect())
}
