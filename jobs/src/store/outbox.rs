//! What a transaction writes last: the ends of jobs, entries of messages' logs, events, and the jobs that follow.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    StoreError,
    jobs::{NewJob, RELAY_GRACE},
    stream::StreamEvent,
};
use crate::domain::{
    event::NewEvent,
    ids::{ConversationId, EventId, JobId, MessageId, TenantId},
};

/// How a job left the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Cancelled,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The end of a job's run, which moves it to the history. Guarded by the row and by the fence: a worker whose lease was lost to
/// another one ends nothing.
#[derive(Debug, Clone)]
pub struct End {
    pub id: JobId,
    /// The lease's.
    pub token: i64,
    pub started_at: DateTime<Utc>,
    pub outcome: Outcome,
}

/// An entry of a message's log, after those that are there.
///
/// One job at a time works on a message, so positions do not collide; should a stale worker write at the same moment, the primary
/// key refuses one of them and its job is tried again.
#[derive(Debug, Clone)]
pub struct NewEntry {
    pub tenant: TenantId,
    pub conversation: ConversationId,
    pub message: MessageId,
    pub event: StreamEvent,
    pub data: Value,
}

/// All of it is written by one statement: a round trip and a plan's start for each kind would cost most of what they write.
#[derive(Debug, Default)]
pub struct Outbox {
    pub ends: Vec<End>,
    pub entries: Vec<NewEntry>,
    pub events: Vec<(TenantId, NewEvent)>,
    /// One whose kind and key wait unfinished already is not written again, unless that is the one it follows from. One for an
    /// event is written only when an endpoint wants that.
    pub jobs: Vec<NewJob>,
}

/// What came of an [`Outbox`].
#[derive(Debug, Default)]
pub struct Written {
    /// Of [`Outbox::ends`], those whose lease was still theirs.
    pub ended: HashSet<JobId>,
    /// Of [`Outbox::jobs`].
    pub jobs: HashSet<JobId>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.entries.is_empty() && self.events.is_empty() && self.jobs.is_empty()
    }

    pub async fn write(&self, connection: &mut PgConnection) -> Result<Written, StoreError> {
        let Self { ends, entries, events, jobs } = self;
        let rows = sqlx::query!(
            r#"with ended as (
                 select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::text[])
                   as t(id, token, started_at, outcome)
               ), finished as (
                 delete from jobs using ended where jobs.id = ended.id and fence <= token
                 returning jobs.*, ended.started_at, ended.outcome
               ), moved as (
                 insert into job_history
                   (id, tenant_id, kind, key, subject, attempt, outcome, created_at, run_at, started_at)
                 select id, tenant_id, kind, key, subject, attempt + 1, outcome, created_at, run_at, started_at
                 from finished returning id
               ), logged as (
                 insert into message_stream (tenant_id, conversation_id, message_id, position, event, data)
                 select tenant_id, conversation_id, message_id,
                   coalesce((select max(position) from message_stream before where before.message_id = entry.message_id), 0)
                     + row_number() over (partition by message_id order by number),
                   event, data
                 from unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::jsonb[]) with ordinality
                   as entry(tenant_id, conversation_id, message_id, event, data, number)
               ), reported as (
                 insert into events (id, tenant_id, type, conversation_id, message_id, data, created_at)
                 select * from unnest($10::uuid[], $11::uuid[], $12::text[], $13::uuid[], $14::uuid[], $15::jsonb[],
                   $16::timestamptz[])
               ), wanted as (
                 select e.id from unnest($10::uuid[], $11::uuid[], $12::text[]) as e(id, tenant_id, type)
                 where exists (
                   select from webhook_endpoints w
                   where w.tenant_id = e.tenant_id and w.enabled
                     and (w.event_types = '{}' or e.type = any(w.event_types)))
               ), written as (
                 insert into jobs (id, tenant_id, kind, key, payload, subject, priority, run_at, relay_at, traceparent)
                 select id, tenant_id, kind, key, payload, subject, priority,
                   clock_timestamp() + make_interval(secs => delay),
                   clock_timestamp() + make_interval(secs => case when delay = 0 then $28 else delay end),
                   traceparent
                 from unnest($17::uuid[], $18::uuid[], $19::text[], $20::text[], $21::jsonb[], $22::uuid[],
                   $23::smallint[], $24::float8[], $25::text[], $26::uuid[], $27::uuid[])
                   as t(id, tenant_id, kind, key, payload, subject, priority, delay, traceparent, event_id, parent)
                 where (event_id is null or event_id in (select wanted.id from wanted))
                   and (parent is null or parent in (select finished.id from finished))
                 on conflict (kind, key) do nothing
                 returning id
               )
               select id as "id!", true as "ended!" from moved union all select id, false from written"#,
            &ends.iter().map(|end| end.id.uuid()).collect::<Vec<_>>(),
            &ends.iter().map(|end| end.token).collect::<Vec<_>>(),
            &ends.iter().map(|end| end.started_at).collect::<Vec<_>>(),
            &ends.iter().map(|end| end.outcome.as_str()).collect::<Vec<_>>() as _,
            &entries.iter().map(|entry| entry.tenant.uuid()).collect::<Vec<_>>(),
            &entries.iter().map(|entry| entry.conversation.uuid()).collect::<Vec<_>>(),
            &entries.iter().map(|entry| entry.message.uuid()).collect::<Vec<_>>(),
            &entries.iter().map(|entry| entry.event.as_str()).collect::<Vec<_>>() as _,
            &entries.iter().map(|entry| &entry.data).collect::<Vec<_>>() as _,
            &events.iter().map(|(_, event)| event.id.uuid()).collect::<Vec<_>>(),
            &events.iter().map(|(tenant, _)| tenant.uuid()).collect::<Vec<_>>(),
            &events.iter().map(|(_, event)| event.event_type.as_str()).collect::<Vec<_>>() as _,
            &events.iter().map(|(_, event)| event.conversation.map(ConversationId::uuid)).collect::<Vec<_>>()
                as &[Option<Uuid>],
            &events.iter().map(|(_, event)| event.message.map(MessageId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
            &events.iter().map(|(_, event)| &event.data).collect::<Vec<_>>() as _,
            &events.iter().map(|(_, event)| event.id.created_at()).collect::<Vec<_>>(),
            &jobs.iter().map(|job| job.id.uuid()).collect::<Vec<_>>(),
            &jobs.iter().map(|job| job.tenant.map(TenantId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
            &jobs.iter().map(|job| job.kind).collect::<Vec<_>>() as _,
            &jobs.iter().map(|job| job.key.as_str()).collect::<Vec<_>>() as _,
            &jobs.iter().map(|job| &job.payload).collect::<Vec<_>>() as _,
            &jobs.iter().map(|job| job.subject).collect::<Vec<_>>() as &[Option<Uuid>],
            &jobs.iter().map(|job| i16::from(job.priority)).collect::<Vec<_>>(),
            &jobs.iter().map(|job| job.delay.as_secs_f64()).collect::<Vec<_>>(),
            &jobs.iter().map(|job| job.traceparent.as_deref()).collect::<Vec<_>>() as _,
            &jobs.iter().map(|job| job.event.map(EventId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
            &jobs.iter().map(|job| job.parent.map(JobId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
            RELAY_GRACE.as_secs_f64(),
        )
        .fetch_all(connection)
        .await?;
        let mut written = Written::default();
        for row in rows {
            let ids = if row.ended { &mut written.ended } else { &mut written.jobs };
            ids.insert(JobId::from_uuid(row.id));
        }
        Ok(written)
    }
}
