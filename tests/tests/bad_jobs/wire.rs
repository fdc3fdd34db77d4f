//! What a worker finds that was written by another version: unknown kinds in the ledger, unreadable envelopes in a lane.

use std::{collections::HashMap, time::Duration};

use chrono::{TimeDelta, Utc};
use jobs::domain::ids::JobId;
use loadtest::client::Submission;
use serde_json::json;
use tests::{PrivateRedis, Stack, eventually};
use uuid::{NoContext, Timestamp, Uuid};

use super::{Row, causes, finish, logged};

const LIMIT: Duration = Duration::from_secs(30);

fn made_before(age: TimeDelta) -> JobId {
    let at = u64::try_from((Utc::now() - age).timestamp()).unwrap();
    JobId::from_uuid(Uuid::new_v7(Timestamp::from_unix(NoContext, at, 0)))
}

#[tokio::test]
async fn an_unknown_kind_waits_a_day_for_a_version_that_knows_it() {
    let stack = Stack::start().await;
    let owner = stack.database.owner().await.clone();
    let row = |id, key: &str| Row {
        id,
        tenant: None,
        kind: "from_the_future",
        key: key.to_owned(),
        subject: None,
        payload: json!({}),
    };
    row(made_before(TimeDelta::hours(23)), "young").write(&owner).await;
    row(made_before(TimeDelta::hours(25)), "old").write(&owner).await;
    eventually("the old one is dead", LIMIT, async || {
        (stack.database.count("select count(*) from dead_jobs").await == 1).then_some(())
    })
    .await;
    let dead = causes(&stack).await;
    assert_eq!(dead[0].1, "unknown kind \"from_the_future\"");
    let waiting = "select count(*) from jobs where key = 'young' and relay_at > now() + interval '15 seconds'";
    assert_eq!(stack.database.count(waiting).await, 1, "looked at again later, not in a loop");
    sqlx::query("delete from jobs").execute(&owner).await.unwrap();
    finish(stack).await;
}

/// Replaces every envelope that a lane holds, wherever it keeps them; returns how many there were.
async fn spoil(redis: &PrivateRedis) -> usize {
    let mut connection = redis.connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    let mut spoilt = 0;
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.unwrap();
        if kind != "hash" {
            continue;
        }
        let entries: HashMap<Vec<u8>, Vec<u8>> =
            redis::cmd("HGETALL").arg(&key).query_async(&mut connection).await.unwrap();
        for (field, value) in entries {
            if value.windows(9).any(|bytes| bytes == b"\"payload\"") {
                redis::cmd("HSET").arg(&key).arg(field).arg("\u{1}garbage").exec_async(&mut connection).await.unwrap();
                spoilt += 1;
            }
        }
    }
    spoilt
}

#[tokio::test]
async fn an_unreadable_envelope_is_dropped_and_its_row_pushed_again() {
    let redis = PrivateRedis::start().await;
    let mut stack = Stack::builder().redis(redis.url()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    // Its relay has marked the lanes as whole, so that nothing is rebuilt below.
    stack.idle(LIMIT).await;
    stack.workers.remove(0).process.terminate(LIMIT).await;
    let message = client.submit(&Submission::new("How long may I return an item?")).await.unwrap().message;
    let spoilt = eventually("a lane holds the job", LIMIT, async || {
        let spoilt = spoil(&redis).await;
        (spoilt >= 1).then_some(spoilt)
    })
    .await;
    stack.start_worker().await;
    // After the relay's grace for a fresh row.
    assert!(client.final_message(&message.id, LIMIT).await.unwrap().answer.is_some());
    stack.idle(LIMIT).await;
    assert_eq!(logged(&stack.workers[0], "undecodable envelope dropped"), spoilt, "each once");
    let spent = "select count(*) from job_history where attempt > 1";
    assert_eq!(stack.database.count(spent).await, 0, "it cost no attempt");
    stack.finish().await;
}
