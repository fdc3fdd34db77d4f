//! What must be true when it is quiet again, seen from the receivers and from the database.

use std::collections::{BTreeMap, HashMap, HashSet};

use jobs::domain::ids::{EventId, JobId, MessageId, TenantId};
use loadtest::receiver::Signature;
use serde_json::Value;
use tests::Stack;
use uuid::Uuid;

use super::{
    disorder::Tally,
    load::{Accepted, Tenants},
};

/// Differences that a failure shows at most.
const SHOWN: usize = 5;

/// A job that gave up.
pub struct Dead {
    id: JobId,
    tenant: TenantId,
    kind: String,
}

impl Dead {
    pub fn id(&self) -> JobId {
        self.id
    }

    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub fn carries_an_event(&self) -> bool {
        ["emit_event", "deliver_webhook"].contains(&self.kind.as_str())
    }
}

/// The dead jobs, each for the workers it lost, the only cause there may be.
///
/// The third loss of a job is a suspect's, and a process runs one suspect at a time: each lost process kills one job at
/// most, whatever else it was running. A Redis that is wiped forgets losses; then the ledger ends it, which remembers
/// the attempts that they spent.
pub async fn explain_dead(stack: &Stack, tally: &Tally) -> Vec<Dead> {
    let rows: Vec<(Uuid, Uuid, String, String)> =
        sqlx::query_as("select id, tenant_id, kind, cause from dead_jobs order by id")
            .fetch_all(stack.database.owner().await)
            .await
            .unwrap();
    for (id, _, kind, cause) in &rows {
        println!("{kind} {id} died: {cause}");
    }
    let most = tally.lost_processes();
    assert!(rows.len() <= most, "{} jobs died of {most} lost processes", rows.len());
    rows.into_iter()
        .map(|(id, tenant, kind, cause)| {
            // More than three when a worker was lost before it could bury the job.
            let by_losses = cause.ends_with("workers were lost while they ran it");
            assert!(by_losses || cause.ends_with("the last worker was lost"), "{kind} {id}: {cause}");
            Dead { id: JobId::from_uuid(id), tenant: TenantId::from_uuid(tenant), kind }
        })
        .collect()
}

/// Every accepted message, and no other, has one final state, one answer or none by that state, and the events that
/// say so once.
pub async fn every_message_ended_once(stack: &Stack, accepted: &[Accepted]) {
    let ours: HashSet<Uuid> = accepted.iter().flat_map(|it| &it.messages).map(|id| message(id)).collect();
    let stored: Vec<Uuid> = sqlx::query_scalar("select id from messages where role = 'customer'")
        .fetch_all(stack.database.owner().await)
        .await
        .unwrap();
    assert_eq!(stored.len(), ours.len(), "messages stored and accepted");
    assert!(stored.iter().all(|id| ours.contains(id)), "a message was stored that nobody was told of");

    none(
        stack,
        "messages that did not end once",
        "with told as (
           select message_id, count(*) filter (where type = 'message.received') as received,
             count(*) filter (where type = 'message.sent') as sent,
             count(*) filter (where type = 'message.failed') as failed
           from events group by message_id),
         replied as (select reply_to, count(*) as replies from messages where role = 'assistant' group by reply_to)
         select concat_ws(' ', m.id, m.status, 'received', received, 'sent', sent, 'failed', failed, 'replies', replies)
         from messages m left join told on told.message_id = m.id left join replied on replied.reply_to = m.id
         where m.role = 'customer' and not case
           when m.status in ('answered', 'escalated')
             then received = 1 and sent = 1 and failed = 0 and coalesce(replies, 0) = 1 and m.finished_at is not null
           when m.status = 'failed'
             then received <= 1 and sent = 0 and failed = 1 and replies is null and m.error is not null
           else false end",
    )
    .await;
    let unasked = "select count(*) from messages r where role <> 'customer' and not exists (
         select from messages m where m.id = r.reply_to and m.role = 'customer')";
    assert_eq!(stack.database.count(unasked).await, 0, "replies to nothing");
    let failed = "select count(*) from messages where status = 'failed'";
    let dead = "select count(*) from dead_jobs where kind not in ('emit_event', 'deliver_webhook')";
    assert_eq!(stack.database.count(failed).await, stack.database.count(dead).await, "failed messages and dead jobs");
}

/// Sequence follows acceptance, replies follow sequence, and a turn begins when the one before has ended.
pub async fn conversations_kept_their_order(stack: &Stack, accepted: &[Accepted]) {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select conversation_id, id from messages where role = 'customer' order by conversation_id, seq",
    )
    .fetch_all(stack.database.owner().await)
    .await
    .unwrap();
    let mut stored: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (conversation, id) in rows {
        stored.entry(conversation).or_default().push(id);
    }
    assert_eq!(stored.len(), accepted.len(), "conversations");
    for conversation in accepted {
        let id: jobs::domain::ids::ConversationId = conversation.conversation.parse().unwrap();
        let order: Vec<Uuid> = conversation.messages.iter().map(|id| message(id)).collect();
        assert_eq!(stored[&id.uuid()], order, "{id}");
    }
    none(
        stack,
        "replies out of order",
        "select id::text from (
           select r.id, m.seq, lag(m.seq) over (partition by r.conversation_id order by r.seq) as before
           from messages r join messages m on m.id = r.reply_to) replies
         where before >= seq",
    )
    .await;
    none(
        stack,
        "turns that began before the last one ended",
        "select id::text from (
           select id, turn_at, lag(finished_at) over (partition by conversation_id order by seq) as before
           from messages where role = 'customer') turns
         where before > turn_at",
    )
    .await;
}

/// Finished jobs finished once each, and nothing is left over. One kind is a new job each period under its old key.
pub async fn every_job_finished_once(stack: &Stack) {
    none(
        stack,
        "jobs that finished twice",
        "select concat_ws(' ', kind, key, count(*)) from job_history where kind <> 'maintain_index'
         group by kind, key having count(*) > 1",
    )
    .await;
    assert_eq!(stack.database.count("select count(*) from jobs").await, 0, "jobs in the ledger");
    let held = "select count(*) from conversations where active_message_id is not null";
    assert_eq!(stack.database.count(held).await, 0, "conversations whose turn did not end");
}

/// The plan's meters show what was accepted, no more and no less.
pub async fn usage_was_counted_once(stack: &Stack, accepted: &[Accepted]) {
    let mut expected: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for conversation in accepted {
        let tenant: TenantId = conversation.tenant.parse().unwrap();
        let used = expected.entry(tenant.uuid()).or_default();
        used.0 += i64::try_from(conversation.messages.len()).unwrap();
        used.1 += 1;
    }
    // By tenant alone: the run may cross the end of a month.
    let counted: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select tenant_id, sum(messages)::bigint, sum(conversations)::bigint from usage_months group by tenant_id",
    )
    .fetch_all(stack.database.owner().await)
    .await
    .unwrap();
    let counted: BTreeMap<_, _> = counted.into_iter().map(|(id, messages, begun)| (id, (messages, begun))).collect();
    assert_eq!(counted, expected, "messages and conversations by tenant");
}

/// Each receiver took every event of its tenant, and no other; an event's deliveries are the same and carry its id.
pub async fn every_event_arrived_with_one_id(stack: &Stack, tenants: &Tenants) {
    for shop in &tenants.0 {
        let tenant: TenantId = shop.id.parse().unwrap();
        let events: Vec<Uuid> =
            sqlx::query_scalar("select id from events where tenant_id = $1 and type <> 'document.indexed'")
                .bind(tenant.uuid())
                .fetch_all(stack.database.owner().await)
                .await
                .unwrap();
        let events: HashSet<Uuid> = events.into_iter().collect();
        let mut taken = HashSet::new();
        let mut bodies: HashMap<String, Value> = HashMap::new();
        for delivery in shop.receiver.deliveries() {
            assert_eq!(delivery.signature, Signature::Valid, "{delivery}");
            assert_eq!(delivery.body["id"], delivery.id.as_str(), "{delivery}");
            if delivery.status == 200 && delivery.event_type != "document.indexed" {
                taken.insert(delivery.id.parse::<EventId>().unwrap().uuid());
            }
            let first = bodies.entry(delivery.id.clone()).or_insert_with(|| delivery.body.clone());
            assert_eq!(*first, delivery.body, "one id, one event");
        }
        let missing: Vec<_> = events.difference(&taken).take(SHOWN).collect();
        assert!(missing.is_empty(), "{} of {} events arrived; missing: {missing:?}", taken.len(), events.len());
        let unknown: Vec<_> = taken.difference(&events).take(SHOWN).collect();
        assert!(unknown.is_empty(), "deliveries of events that are not in the outbox: {unknown:?}");
    }
}

fn message(id: &str) -> Uuid {
    id.parse::<MessageId>().unwrap_or_else(|_| panic!("{id} names no message")).uuid()
}

/// Expects that a query finds nothing.
async fn none(stack: &Stack, what: &str, query: &'static str) {
    let found: Vec<String> = sqlx::query_scalar(query).fetch_all(stack.database.owner().await).await.unwrap();
    assert!(found.is_empty(), "{}: {what}, such as {:?}", found.len(), &found[..found.len().min(SHOWN)]);
}
