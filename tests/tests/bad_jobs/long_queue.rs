//! A conversation in a human's hands with a long queue: ended in shares, not in one transaction.

use std::time::Duration;

use jobs::domain::ids::MessageId;
use loadtest::client::{MessageStatus, Submission};
use tests::Stack;
use uuid::Uuid;

use super::uuid_of;

const LIMIT: Duration = Duration::from_secs(60);
const WAITING: i32 = 430;
/// Messages one transaction may end.
const SHARE: i64 = 50;

#[tokio::test]
async fn a_long_queue_in_a_humans_hands_is_ended_in_bounded_transactions() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let first = client.submit(&Submission::new("Are you there?")).await.unwrap().message;
    let conversation = uuid_of(&first.conversation_id);
    let owner = stack.database.owner().await.clone();
    let ids: Vec<MessageId> = (0..WAITING).map(|_| MessageId::generate()).collect();
    let (uuids, times): (Vec<Uuid>, Vec<_>) = ids.iter().map(|id| (id.uuid(), id.created_at())).unzip();
    sqlx::query(
        "insert into messages (id, created_at, tenant_id, conversation_id, seq, role, text, status, ingested_at)
         select id, created_at, $3, $4, 1 + position, 'customer', 'Hello?', 'queued', now()
         from unnest($1::uuid[], $2::timestamptz[]) with ordinality as t(id, created_at, position)",
    )
    .bind(&uuids)
    .bind(&times)
    .bind(uuid_of(&tenant.id))
    .bind(conversation)
    .execute(&owner)
    .await
    .unwrap();
    sqlx::query("update conversations set handler = 'human', last_seq = last_seq + $2 where id = $1")
        .bind(conversation)
        .bind(WAITING)
        .execute(&owner)
        .await
        .unwrap();

    stack.start_worker().await;
    let last = client.final_message(&ids[ids.len() - 1].to_string(), LIMIT).await.unwrap();
    assert_eq!(last.status, MessageStatus::Escalated);
    stack.idle(LIMIT).await;
    let silent =
        "select count(*) from messages where status = 'escalated' and answer is null and finished_at is not null";
    assert_eq!(stack.database.count(silent).await, i64::from(WAITING) + 1);
    // The transaction that last wrote a message is the one that ended it.
    let largest = "select max(ended) from (select count(*) as ended from messages group by xmin::text) as shares";
    assert_eq!(stack.database.count(largest).await, SHARE);
    let disorder = "select count(*) from messages a join messages b using (conversation_id)
        where a.seq < b.seq and a.finished_at > b.finished_at";
    assert_eq!(stack.database.count(disorder).await, 0, "ended in order");
    let received = "select count(*) from events where type = 'message.received'";
    assert_eq!(stack.database.count(received).await, 1, "going on announces nothing twice");
    stack.finish().await;
}
