//! The lanes on Redis Cluster and behind Sentinel, a lost master included.

use std::time::Duration;

use loadtest::client::{Client, Submission};
use tests::{RedisCluster, RedisSentinel, Stack};

/// A failover, and the relay's filling of what its lanes lost.
const LIMIT: Duration = Duration::from_secs(60);
const MESSAGES: usize = 20;

async fn submit(client: &Client) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..MESSAGES {
        let submission = Submission::new(format!("What is the answer to question number {n}?"));
        ids.push(client.submit(&submission).await.expect("accepted").message.id);
    }
    ids
}

async fn all_end(stack: &Stack, client: &Client, ids: &[String]) {
    for id in ids {
        let message = client.final_message(id, LIMIT).await.expect("a final message");
        assert!(message.answer.is_some(), "{message:?}");
    }
    stack.idle(LIMIT).await;
    let distinct = "select count(distinct reply_to) from messages where role = 'assistant'";
    let replies = "select count(*) from messages where role = 'assistant'";
    assert_eq!(stack.database.count(replies).await, stack.database.count(distinct).await, "one reply each");
}

#[tokio::test]
async fn lanes_spread_over_a_cluster_and_outlive_a_master() {
    let mut redis = RedisCluster::start().await;
    let stack = Stack::builder().redis(redis.url()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = submit(&client).await;
    all_end(&stack, &client, &ids).await;
    assert!(redis.keys().await.iter().all(|keys| *keys > 0), "every master holds lanes: {:?}", redis.keys().await);

    let before = submit(&client).await;
    redis.lose_master(0);
    let after = submit(&client).await;
    all_end(&stack, &client, &[before, after].concat()).await;
    stack.finish().await;
}

#[tokio::test]
async fn lanes_follow_the_master_that_sentinel_names() {
    let mut redis = RedisSentinel::start().await;
    let stack = Stack::builder().redis(redis.url()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = submit(&client).await;
    all_end(&stack, &client, &ids).await;

    let before = submit(&client).await;
    redis.lose_master();
    let after = submit(&client).await;
    all_end(&stack, &client, &[before, after].concat()).await;
    stack.finish().await;
}
