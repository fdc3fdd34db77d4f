//! Nothing accepted is lost, and no effect happens twice: killed workers, a wiped or crashed Redis, a deploy.

use std::time::Duration;

use jobs::{domain::ids::TenantId, store::Scope};
use loadtest::{
    client::{Client, MessageStatus, Submission},
    fake_model::{Config, FakeModel},
    receiver::{Behaviour, Receiver, Signature},
};
use tests::{PrivateRedis, Stack, TestDatabase, eventually};

const LIMIT: Duration = Duration::from_secs(60);

async fn submit(client: &Client, messages: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..messages {
        let submission = Submission::new(format!("What is the answer to question number {n}?"));
        ids.push(client.submit(&submission).await.expect("accepted").message.id);
    }
    ids
}

/// Every message ended, with one reply and one closing event each.
async fn answered_once(stack: &Stack, client: &Client, ids: &[String]) {
    for id in ids {
        let message = client.final_message(id, LIMIT).await.expect("a final message");
        assert!(message.answer.is_some(), "{message:?}");
    }
    let messages = i64::try_from(ids.len()).unwrap();
    stack.idle(LIMIT).await;
    let replies = "select count(*) from messages where role = 'assistant'";
    assert_eq!(stack.database.count(replies).await, messages, "replies");
    let distinct = "select count(distinct reply_to) from messages where role = 'assistant'";
    assert_eq!(stack.database.count(distinct).await, messages, "messages replied to");
    for event in ["message.received", "message.sent"] {
        let events: i64 = sqlx::query_scalar("select count(*) from events where type = $1")
            .bind(event)
            .fetch_one(stack.database.owner().await)
            .await
            .unwrap();
        assert_eq!(events, messages, "{event}");
    }
}

#[tokio::test]
async fn a_killed_worker_costs_an_attempt_and_no_message() {
    let model = FakeModel::start(Config { latency: Duration::from_millis(300), ..Config::default() }).await.unwrap();
    let mut stack =
        Stack::builder().workers(2).env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let receiver = Receiver::start().await.unwrap();
    let endpoint = client.create_endpoint(&receiver.url(), &["message.sent"]).await.unwrap();
    receiver.set_secret(&endpoint.secret);

    let ids = submit(&client, 30).await;
    eventually("completions are running", LIMIT, async || (model.requests().len() >= 3).then_some(())).await;
    stack.workers[0].process.kill();
    stack.workers.remove(0);
    stack.start_worker().await;
    answered_once(&stack, &client, &ids).await;
    let spent = "select count(*) from job_history where attempt > 1";
    assert!(stack.database.count(spent).await > 0, "the lost runs spent an attempt");

    let deliveries = receiver.wait_until(LIMIT, |seen| {
        seen.iter().map(|delivery| &delivery.id).collect::<std::collections::HashSet<_>>().len() >= 30
    });
    assert!(deliveries.await.unwrap().iter().all(|delivery| delivery.signature == Signature::Valid));
    stack.finish().await;
}

#[tokio::test]
async fn a_wiped_redis_loses_nothing() {
    let redis = PrivateRedis::start().await;
    let stack = Stack::builder().redis(redis.url()).workers(1).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let mut ids = submit(&client, 10).await;
    redis.flush().await;
    ids.extend(submit(&client, 10).await);
    redis.flush().await;
    answered_once(&stack, &client, &ids).await;
    stack.finish().await;
}

#[tokio::test]
async fn a_crashed_redis_delays_and_loses_nothing() {
    let mut redis = PrivateRedis::start().await;
    let stack = Stack::builder().redis(redis.url()).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let mut ids = submit(&client, 5).await;
    let (during, ()) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            submit(&client, 5).await
        },
        redis.crash(Duration::from_secs(1))
    );
    ids.extend(during);
    answered_once(&stack, &client, &ids).await;
    stack.finish().await;
}

#[tokio::test]
async fn a_deploy_is_silent() {
    let model = FakeModel::start(Config { latency: Duration::from_millis(500), ..Config::default() }).await.unwrap();
    let mut stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = submit(&client, 20).await;
    eventually("completions are running", LIMIT, async || (model.requests().len() >= 2).then_some(())).await;
    let mut old = stack.workers.remove(0);
    let status = old.process.terminate(Duration::from_secs(30)).await;
    assert!(status.success(), "{status}");
    let tried_again = "select count(*) from jobs where attempt > 0";
    assert_eq!(stack.database.count(tried_again).await, 0, "a drained worker spends no attempt");
    stack.start_worker().await;
    answered_once(&stack, &client, &ids).await;
    stack.finish().await;
}

#[tokio::test]
async fn a_second_signal_gives_running_jobs_back_at_once() {
    let model = FakeModel::start(Config { latency: Duration::from_secs(20), ..Config::default() }).await.unwrap();
    let mut stack = Stack::builder()
        .env("LLM_BASE_URL", model.base_url())
        .env("LLM_API_KEY", "sk")
        // So that the job cannot be waiting for its lease to expire.
        .env("LEASE_SECONDS", "120")
        .start()
        .await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = submit(&client, 3).await;
    eventually("completions are running", LIMIT, async || (model.requests().len() == 3).then_some(())).await;
    let mut old = stack.workers.remove(0);
    stack.start_worker().await;
    old.process.signal(libc::SIGTERM);
    eventually("it drains", LIMIT, async || old.process.log().contains("draining").then_some(())).await;
    assert_eq!(model.requests().len(), 3, "a draining worker keeps what it runs");
    model.configure(|config| config.latency = Duration::ZERO);
    let status = old.process.terminate(Duration::from_secs(3)).await;
    assert!(status.success(), "{status}");
    eventually("they run elsewhere", Duration::from_secs(5), async || (model.requests().len() == 6).then_some(()))
        .await;
    answered_once(&stack, &client, &ids).await;
    let spent = "select count(*) from job_history where attempt > 1";
    assert_eq!(stack.database.count(spent).await, 0, "no attempt is spent");
    stack.finish().await;
}

#[tokio::test]
async fn a_stopped_leader_does_not_hold_up_the_relay() {
    let stack = Stack::builder().workers(2).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let receiver = Receiver::start().await.unwrap();
    receiver.set_behaviour(Behaviour::answering([503, 200]));
    let endpoint = client.create_endpoint(&receiver.url(), &["message.received"]).await.unwrap();
    receiver.set_secret(&endpoint.secret);
    let leader = eventually("one leads", LIMIT, async || stack.leaders().await.pop()).await;
    stack.workers[leader].process.signal(libc::SIGSTOP);

    submit(&client, 1).await;
    receiver.wait_for(1, LIMIT).await.expect("a push that needs no relay");
    // Put off by a second, the second try is the relay's to push.
    receiver.wait_for(2, Duration::from_secs(10)).await.expect("another leader's push");
    assert!(stack.workers[1 - leader].leads_the_relay().await);

    stack.workers[leader].process.signal(libc::SIGCONT);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(stack.leaders().await, [1 - leader], "the one that was stopped knows that it leads no more");
    }
    stack.finish().await;
}

/// The numbers of the workers that say they lead the relay.

#[tokio::test]
async fn messages_are_accepted_while_no_worker_runs() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = submit(&client, 5).await;
    let waiting = client.message(&ids[0], Some(Duration::from_secs(1))).await.unwrap();
    assert!(!waiting.status.is_final());
    stack.start_worker().await;
    answered_once(&stack, &client, &ids).await;
    stack.finish().await;
}

#[tokio::test]
async fn a_job_that_keeps_killing_workers_is_buried_and_its_neighbours_finish() {
    let slow = Config { latency: Duration::from_millis(700), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let mut stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let poison = client.submit(&Submission::new("Does the poison question end?")).await.unwrap().message;
    let ids = submit(&client, 5).await;
    let asked = || model.requests().iter().filter(|request| request.body.to_string().contains("poison")).count();
    for crash in 1..=3 {
        eventually("the poisoned job runs", LIMIT, async || (asked() >= crash).then_some(())).await;
        stack.workers[0].process.kill();
        stack.workers.clear();
        stack.start_worker().await;
    }
    let buried = client.final_message(&poison.id, LIMIT).await.unwrap();
    assert_eq!(buried.status, MessageStatus::Failed);
    assert_eq!(asked(), 3, "it never ran again");
    let cause = "select count(*) from dead_jobs where cause like '3 workers were lost%'";
    assert_eq!(stack.database.count(cause).await, 1);
    for id in &ids {
        assert!(client.final_message(id, LIMIT).await.unwrap().answer.is_some());
    }
    sqlx::query("delete from dead_jobs").execute(stack.database.owner().await).await.unwrap();
    stack.finish().await;
}

/// A worker loads its engines after Postgres answered, which takes seconds; Postgres may be restarted meanwhile.
#[tokio::test]
async fn a_worker_whose_connection_is_cut_while_it_starts_starts() {
    let mut stack = Stack::builder().start().await;
    let mut owner = stack.database.owner().await.begin().await.unwrap();
    sqlx::query("lock table embedding_models in access exclusive mode").execute(&mut *owner).await.unwrap();
    stack.launch_worker();
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock' and query like '%embedding_models%'
                 and pid <> pg_backend_pid()";
    eventually("a connection is cut", LIMIT, async || (stack.database.count(cut).await == 1).then_some(())).await;
    owner.rollback().await.unwrap();

    stack.ready().await;
    stack.finish().await;
}

/// The pool asks a connection whether it lives when it was unused for a second, and not before each transaction.
#[tokio::test]
async fn a_connection_that_died_while_it_was_idle_is_not_given_out() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let tenant = TenantId::generate();
    database.tenant(tenant).await.unwrap().commit().await.unwrap();
    let killed = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                  where datname = current_database() and usename = session_user and query ilike '%commit%'
                    and pid <> pg_backend_pid()";
    assert_eq!(test.count(killed).await, 1);

    tokio::time::sleep(Duration::from_millis(1_200)).await;

    database.tenant(tenant).await.expect("a living connection").commit().await.unwrap();
    database.close().await;
}

/// A caller that goes away while its transaction is being opened, as a job that ran too long, leaves none behind.
#[tokio::test]
async fn a_connection_is_not_given_back_with_a_transaction_open() {
    let test = TestDatabase::create().await;
    let database = test.connect();
    let tenant = TenantId::generate();
    let (mut of_tenant, mut of_system) = (0, 0);
    for _ in 0..20 {
        database.tenant(tenant).await.unwrap().commit().await.unwrap();
        database.system().await.unwrap().commit().await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        tokio::select! {
            biased;
            _ = database.tenant(tenant) => {}
            () = std::future::ready(()) => of_tenant += 1,
        }
        tokio::select! {
            biased;
            _ = database.system() => {}
            () = std::future::ready(()) => of_system += 1,
        }
    }
    assert!(of_tenant > 0 && of_system > 0, "some were cut off");

    tokio::time::sleep(Duration::from_secs(1)).await;

    let open = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'";
    assert_eq!(test.count(open).await, 0);
    database.close().await;
}
