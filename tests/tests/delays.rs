//! P9: work that is put off starts at its time, whatever is restarted meanwhile.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::domain::ids::EventId;
use loadtest::{
    client::Submission,
    receiver::{Behaviour, Receiver},
};
use tests::{PrivateRedis, Stack};
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);
const MESSAGES: usize = 20;
/// Longer than a worker takes to start on a busy machine.
const PUT_OFF_SECONDS: u64 = 20;
const LATE: TimeDelta = TimeDelta::seconds(1);

#[tokio::test]
async fn delays_survive_the_restart_of_workers_redis_and_the_relays_leader() {
    let mut redis = PrivateRedis::start().await;
    let mut stack = Stack::builder().redis(redis.url()).workers(2).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let receiver = Receiver::start().await.unwrap();
    let mut statuses = vec![503; MESSAGES];
    statuses.push(200);
    let behaviour = Behaviour { retry_after: Some(PUT_OFF_SECONDS), ..Behaviour::answering(statuses) };
    receiver.set_behaviour(behaviour);
    let endpoint = client.create_endpoint(&receiver.url(), &["message.received"]).await.unwrap();
    receiver.set_secret(&endpoint.secret);
    for n in 0..MESSAGES {
        client.submit(&Submission::new(format!("Is anybody there, {n}?"))).await.unwrap();
    }
    receiver.wait_for(MESSAGES, LIMIT).await.unwrap();
    let due = tests::eventually("all are put off", LIMIT, async || put_off(&stack).await).await;

    for worker in &mut stack.workers {
        worker.process.kill();
    }
    stack.workers.clear();
    stack.launch_worker();
    stack.launch_worker();
    redis.crash(Duration::from_millis(500)).await;
    stack.ready().await;
    assert!(due.values().all(|due| *due > Utc::now()), "the machine is too slow to tell: restarts took too long");

    let deliveries = receiver.wait_for(2 * MESSAGES, LIMIT).await.unwrap();
    for delivery in deliveries.iter().filter(|delivery| delivery.attempt == 2) {
        let due = due[&delivery.id.parse::<EventId>().unwrap().uuid()];
        let late = delivery.at - due;
        assert!((TimeDelta::zero()..LATE).contains(&late), "{delivery}: due {due}");
    }
    stack.finish().await;
}

/// When each event's delivery is tried again; `None` until all were tried once.
async fn put_off(stack: &Stack) -> Option<HashMap<Uuid, DateTime<Utc>>> {
    let due: Vec<(String, DateTime<Utc>)> =
        sqlx::query_as("select payload->>'event', run_at from jobs where kind = 'deliver_webhook' and attempt = 1")
            .fetch_all(stack.database.owner().await)
            .await
            .unwrap();
    let due = due.into_iter().map(|(event, at)| (event.parse::<EventId>().unwrap().uuid(), at));
    (due.len() == MESSAGES).then(|| due.collect())
}
