//! P1 and P2 under everything that can go wrong at once: what was accepted is answered once, whatever crashes.
//!
//! `make test` runs it bounded, `make chaos` in full. Variables: `CHAOS_MESSAGES`, `CHAOS_RATE` (messages a second),
//! `CHAOS_SEED` (of the load and of the order of the disturbances; chosen by the clock, and printed, without).

mod disorder;
mod load;
mod summary;
mod verdict;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadtest::fake_model::{Config, FakeModel};
use rand::{SeedableRng, rngs::StdRng};
use tests::{PrivatePostgres, PrivateRedis, Stack};

use disorder::Disorder;
use load::{Load, Tenants};
use summary::Summary;

const WORKERS: usize = 3;
/// The backlog that the disorder leaves drains at this rate at least; crashed runs wait for their retries besides.
const DRAIN_RATE: usize = 4;
const RETRIES: Duration = Duration::from_secs(60);

/// A number from the environment.
fn size(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {value:?}")))
}

#[tokio::test]
async fn what_was_accepted_is_answered_once_whatever_crashes() {
    let messages = usize::try_from(size("CHAOS_MESSAGES", 300)).unwrap();
    let rate = size("CHAOS_RATE", 10).max(1);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed = size("CHAOS_SEED", clock);
    println!("{messages} messages at {rate}/s, CHAOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);

    let mut postgres = PrivatePostgres::start().await;
    let mut redis = PrivateRedis::start().await;
    let model = FakeModel::start(Config { latency: Duration::from_millis(200), ..Config::default() }).await.unwrap();
    let mut stack = Stack::builder()
        .postgres(postgres.url())
        .redis(redis.url())
        .workers(WORKERS)
        .env("LLM_BASE_URL", model.base_url())
        .env("LLM_API_KEY", "sk")
        // A receiver that fails now and then is tried until it answers, also by deliveries that lost workers.
        .env("WEBHOOK_RETRY_MAX_ATTEMPTS", "20")
        .start()
        .await;
    let tenants = Tenants::open(&stack, messages).await;

    let mut load = Load::start(&tenants, messages, Duration::from_secs(1) / u32::try_from(rate).unwrap(), &mut random);
    let mut disorder = Disorder::new(&mut stack, &mut postgres, &mut redis, random);
    disorder.rage_until(|| load.is_over()).await;
    let tally = disorder.end().await;
    let accepted = load.accepted();

    let limit = RETRIES + Duration::from_secs((messages / DRAIN_RATE) as u64);
    stack.idle(limit).await;
    let dead = verdict::explain_dead(&stack, &tally).await;
    tenants.replay_deliveries(&dead).await;
    stack.idle(RETRIES).await;
    stack.lanes_are_empty(RETRIES).await;

    let summary = Summary::collect(&stack, &tally, &tenants, accepted.len(), dead.len()).await;
    println!("{summary}");
    verdict::every_message_ended_once(&stack, &accepted).await;
    verdict::conversations_kept_their_order(&stack, &accepted).await;
    verdict::every_job_finished_once(&stack).await;
    verdict::usage_was_counted_once(&stack, &accepted).await;
    verdict::every_event_arrived_with_one_id(&stack, &tenants).await;
    println!("the ledger is right: accepted = answered (or ended with its cause), events delivered, none twice");
    sqlx::query("delete from dead_jobs").execute(stack.database.owner().await).await.unwrap();
    stack.ready().await;
    stack.finish().await;
}
