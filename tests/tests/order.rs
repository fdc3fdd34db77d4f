//! The messages of one conversation are answered one at a time and in order, whatever is killed and however the model
//! fails; conversations run in parallel.
//!
//! `ORDER_ROUNDS` says how many rounds are run, `ORDER_SEED` repeats one; the seed is printed.

use std::{collections::HashMap, env, time::Duration};

use chrono::{DateTime, Utc};
use loadtest::{
    client::{Client, MessageStatus, Submission},
    fake_model::{Config, FakeModel},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tests::{Stack, eventually};

const LIMIT: Duration = Duration::from_secs(90);
/// Rounds of `make test`.
const ROUNDS: usize = 2;
const CONVERSATIONS: usize = 4;
/// One less than the workers that a job may cost, so that no job has to die.
const KILLS: usize = 2;
/// The model's latency is drawn anew so often.
const MOOD: Duration = Duration::from_millis(40);

/// A message's turn, as the ledger of messages has it.
#[derive(Debug, sqlx::FromRow)]
struct Turn {
    conversation: String,
    text: String,
    status: String,
    turn_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    /// Places of its replies in the transcript.
    replies: Vec<i32>,
}

async fn turns(stack: &Stack) -> Vec<Turn> {
    sqlx::query_as(
        "select conversation_id::text as conversation, text, status, turn_at, finished_at,
           array(select seq from messages reply where reply.reply_to = asked.id order by seq) as replies
         from messages asked where role = 'customer' order by conversation_id, seq",
    )
    .fetch_all(stack.database.owner().await)
    .await
    .unwrap()
}

/// Each message had its turn alone, was asked of the model within it only, and got one reply, in order.
fn check(turns: &[Turn], model: &FakeModel) {
    for pair in turns.windows(2).filter(|pair| pair[0].conversation == pair[1].conversation) {
        assert!(pair[0].finished_at <= pair[1].turn_at, "two turns at once: {pair:?}");
        assert!(pair[0].replies.last() < pair[1].replies.first(), "out of order: {pair:?}");
    }
    let by_text: HashMap<&str, &Turn> = turns.iter().map(|turn| (turn.text.as_str(), turn)).collect();
    let mut asked = 0;
    for request in model.requests() {
        // The question ends the prompt.
        let question = request.body["messages"].as_array().and_then(|messages| messages.last()).unwrap();
        let turn = by_text[question["content"].as_str().unwrap()];
        assert!(turn.turn_at <= request.at && request.at <= turn.finished_at, "{turn:?} was asked at {}", request.at);
        asked += 1;
    }
    assert!(asked >= turns.len(), "{asked} requests for {} messages", turns.len());
    for turn in turns {
        assert!(["answered", "escalated"].contains(&turn.status.as_str()), "{turn:?}");
        assert_eq!(turn.replies.len(), 1, "{turn:?}");
    }
    let parallel = turns.iter().any(|one| {
        turns.iter().any(|other| {
            one.conversation != other.conversation && one.turn_at < other.finished_at && other.turn_at < one.finished_at
        })
    });
    assert!(parallel, "no two conversations were answered at the same time");
}

/// Submits a conversation's messages as fast as they are accepted.
async fn converse(client: &Client, name: &str, messages: usize) -> Vec<String> {
    let mut conversation_id = None;
    let mut ids = Vec::new();
    for n in 0..messages {
        let text = format!("What about question {n} of conversation {name}?");
        let submission = Submission { conversation_id: conversation_id.clone(), ..Submission::new(text) };
        let message = client.submit(&submission).await.expect("accepted").message;
        conversation_id = Some(message.conversation_id);
        ids.push(message.id);
    }
    ids
}

#[tokio::test]
async fn a_conversation_is_answered_in_order_through_crashes_and_failing_models() {
    let seed: u64 = env::var("ORDER_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    let rounds = env::var("ORDER_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    println!("ORDER_SEED={seed} ORDER_ROUNDS={rounds}");
    let mut dice = StdRng::seed_from_u64(seed);
    let faults = Config { error_rate: 0.08, rate_limit_rate: 0.04, seed, ..Config::default() };
    let model = FakeModel::start(faults).await.unwrap();
    let mut stack =
        Stack::builder().workers(2).env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;

    for round in 0..rounds {
        let conversations = (0..CONVERSATIONS).map(|n| {
            let (client, messages) = (&client, dice.random_range(5..=8));
            async move { converse(client, &format!("{round}-{n}"), messages).await }
        });
        let ids = futures::future::join_all(conversations.collect::<Vec<_>>()).await.concat();
        let mut moods = StdRng::seed_from_u64(dice.random());
        let moody = async {
            loop {
                let latency = Duration::from_millis(moods.random_range(10..=500));
                model.configure(|config| config.latency = latency);
                tokio::time::sleep(MOOD).await;
            }
        };
        let killed = async {
            for _ in 0..KILLS {
                tokio::time::sleep(Duration::from_millis(dice.random_range(100..=1_500))).await;
                let victim = dice.random_range(0..stack.workers.len());
                stack.workers.remove(victim).process.kill();
                stack.start_worker().await;
            }
            for id in &ids {
                client.final_message(id, LIMIT).await.expect("a final message");
            }
        };
        tokio::select! {
            () = moody => unreachable!("moods never end"),
            () = killed => {}
        }
        check(&turns(&stack).await, &model);
    }
    stack.finish().await;
}

#[tokio::test]
async fn a_poisoned_message_fails_and_its_conversation_goes_on() {
    let slow = Config { latency: Duration::from_millis(700), ..Config::default() };
    let model = FakeModel::start(slow).await.unwrap();
    let mut stack = Stack::builder().env("LLM_BASE_URL", model.base_url()).env("LLM_API_KEY", "sk").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let ids = converse(&client, "poison", 3).await;
    let asked = || model.requests().iter().filter(|request| request.body.to_string().contains("question 0")).count();
    for crash in 1..=3 {
        eventually("the poisoned message runs", LIMIT, async || (asked() >= crash).then_some(())).await;
        stack.workers.remove(0).process.kill();
        stack.start_worker().await;
    }
    let poisoned = client.final_message(&ids[0], LIMIT).await.unwrap();
    assert_eq!(poisoned.status, MessageStatus::Failed, "{poisoned:?}");
    for id in &ids[1..] {
        assert!(client.final_message(id, LIMIT).await.unwrap().answer.is_some());
    }
    let turns = turns(&stack).await;
    assert!(turns.windows(2).all(|pair| pair[0].finished_at <= pair[1].turn_at), "{turns:?}");
    let causes = "select count(*) from dead_jobs where cause like '3 workers were lost%'";
    assert_eq!(stack.database.count(causes).await, 1);
    sqlx::query("delete from dead_jobs").execute(stack.database.owner().await).await.unwrap();
    stack.finish().await;
}
