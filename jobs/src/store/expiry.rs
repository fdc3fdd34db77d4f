//! Ends messages with their months: what hangs on them first, then the partition, then what it leaves in the
//! conversations that go on.
//!
//! Ids hold their time, so all that hangs on a month's messages lies below the first id after it.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{StoreError, retention::first_id};
use crate::domain::ids::{ConversationId, TenantId};

/// Deletes up to `limit` rows each of what hangs on messages from before `end`; returns the most that it deleted from one
/// table.
pub async fn detach(connection: &mut PgConnection, end: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let first = first_id(end);
    // Their attempts go with the events.
    let events = sqlx::query!(
        "delete from events where id in (
           select id from events where message_id < $1 order by message_id limit $2)",
        first,
        limit,
    )
    .execute(&mut *connection)
    .await?;
    let stream = sqlx::query!(
        "delete from message_stream where (message_id, position) in (
           select message_id, position from message_stream where message_id < $1 order by message_id, position limit $2)",
        first,
        limit,
    )
    .execute(&mut *connection)
    .await?;
    // One that is still open too: nobody can answer what is gone.
    let escalations = sqlx::query!(
        "delete from escalations where id in (
           select id from escalations where message_id < $1 order by message_id limit $2)",
        first,
        limit,
    )
    .execute(&mut *connection)
    .await?;
    // A job's subject may be something else of the same age, such as a document.
    let jobs = sqlx::query!(
        "delete from jobs where id in (
           select j.id from jobs j join messages m on m.id = j.subject and m.created_at < $2
           where j.subject < $1 order by j.subject limit $3)",
        first,
        end,
        limit,
    )
    .execute(&mut *connection)
    .await?;
    let dead = sqlx::query!(
        "delete from dead_jobs where id in (
           select d.id from dead_jobs d join messages m on m.id = d.subject and m.created_at < $2
           where d.subject < $1 order by d.subject limit $3)",
        first,
        end,
        limit,
    )
    .execute(connection)
    .await?;
    let deleted = [events, stream, escalations, jobs, dead];
    Ok(deleted.iter().map(|deleted| deleted.rows_affected()).max().unwrap_or_default())
}

/// Whether anything hangs on messages from before `end`. Asked with the partition's lock held: whoever works on one of
/// its messages holds a lock of it too.
pub async fn hangs(connection: &mut PgConnection, end: DateTime<Utc>) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select from events where message_id < $1)
             or exists (select from message_stream where message_id < $1)
             or exists (select from escalations where message_id < $1) as "hangs!""#,
        first_id(end)
    )
    .fetch_one(connection)
    .await?)
}

/// Deletes up to `limit` messages from before `end`; after their partitions are gone, those of the default one.
pub async fn stragglers(connection: &mut PgConnection, end: DateTime<Utc>, limit: i64) -> Result<u64, StoreError> {
    let deleted = sqlx::query!(
        "delete from messages where (id, created_at) in (
           select id, created_at from messages where created_at < $1 order by created_at, id limit $2)",
        end,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// The next conversations after one, of those that began before `end`.
pub async fn conversations(
    connection: &mut PgConnection,
    end: DateTime<Utc>,
    after: ConversationId,
    limit: i64,
) -> Result<Vec<ConversationId>, StoreError> {
    let ids = sqlx::query_scalar!(
        "select id from conversations where id > $1 and id < $2 order by id limit $3",
        after.uuid(),
        first_id(end),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids.into_iter().map(ConversationId::from_uuid).collect())
}

/// Deletes those conversations that have no messages any more. One that somebody writes to at this moment stays: its time
/// of change is checked again once its row is free.
pub async fn delete_empty(
    connection: &mut PgConnection,
    ids: &[ConversationId],
    end: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let deleted = sqlx::query!(
        "delete from conversations c where id = any($1) and updated_at < $2
           and not exists (select from messages m where m.conversation_id = c.id)",
        &ids,
        end,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Takes back what points to messages that are gone: replies lose their question's id, and a conversation without an open
/// escalation waits for nobody.
pub async fn let_go(
    connection: &mut PgConnection,
    ids: &[ConversationId],
    end: DateTime<Utc>,
) -> Result<(), StoreError> {
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query!(
        "update messages set reply_to = null where conversation_id = any($1) and reply_to < $2",
        &ids,
        first_id(end),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update conversations c set status = 'open' where id = any($1) and status = 'escalated'
           and not exists (select from escalations e where e.conversation_id = c.id and e.status <> 'resolved')",
        &ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Those of the conversations whose turn a message has that is gone.
pub async fn stuck(
    connection: &mut PgConnection,
    ids: &[ConversationId],
    end: DateTime<Utc>,
) -> Result<Vec<(TenantId, ConversationId)>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select tenant_id, id from conversations where id = any($1) and active_message_id < $2",
        &ids,
        first_id(end),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), ConversationId::from_uuid(row.id))).collect())
}
