//! Who asks: tenants with knowledge and a receiver each, long conversations and many short ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use loadtest::{
    client::{Client, ClientError, Submission, TextUpload},
    receiver::{Behaviour, Receiver},
};
use rand::{Rng, rngs::StdRng, seq::SliceRandom};
use reqwest::Method;
use serde_json::json;
use tests::Stack;
use tokio::{task::JoinSet, time::Instant};

use super::verdict::Dead;

const TENANTS: usize = 4;
/// Clients that submit at the same time; each is in one conversation at a time.
const CLIENTS: usize = 12;
/// Messages of a long conversation; half of all messages are in one.
const LONG: usize = 25;
/// A client gives up when the api takes a message neither within this nor says why not.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(200);
/// One in so many messages is submitted again, as by a client that did not hear it was accepted.
const REPEATED: usize = 8;
/// One in so many answers of a receiver is a failure.
const FAILURES: usize = 15;

const KNOWLEDGE: &str = "# Returns\n\nYou may return any unworn item within 60 days of delivery.\n\n# Shipping\n\n\
    Standard shipping to Germany takes 2 to 4 working days and costs 4.90 EUR.\n\n# Warranty\n\n\
    The warranty on backpacks is 10 years.";
/// The last two cannot be answered from the knowledge, or ask for a person: they are handed over.
const QUESTIONS: [&str; 6] = [
    "How many days do I have to return an unworn item?",
    "How long does standard shipping to Germany take?",
    "What does standard shipping to Germany cost?",
    "How long is the warranty on backpacks?",
    "Which moon of Jupiter is the largest?",
    "Can I talk to a human, please?",
];

pub struct Shop {
    pub id: String,
    pub client: Client,
    pub receiver: Receiver,
}

pub struct Tenants(pub Vec<Shop>);

impl Tenants {
    /// Each with a document that is ready and an endpoint for every event. The first one's answers come from a model.
    pub async fn open(stack: &Stack, messages: usize) -> Self {
        let mut shops = Vec::new();
        for n in 0..TENANTS {
            let provider = if n == 0 { "openai" } else { "extractive" };
            let settings = json!({ "model": { "provider": provider } });
            let (tenant, client) = stack.tenant_with_settings(&format!("Shop {n}"), settings).await;
            let receiver = Receiver::start().await.unwrap();
            let failing = (1..=messages).map(|n| if n.is_multiple_of(FAILURES) { [500, 503, 429][n % 3] } else { 200 });
            receiver.set_behaviour(Behaviour::answering(failing.chain([200]).collect::<Vec<_>>()));
            let endpoint = client.create_endpoint(&receiver.url(), &[]).await.unwrap();
            receiver.set_secret(&endpoint.secret);
            let upload = TextUpload {
                name: "shop.md".into(),
                content_type: "text/markdown".into(),
                text: KNOWLEDGE.into(),
                ..TextUpload::default()
            };
            let document = client.upload_text(&upload).await.unwrap();
            client.settled_document(&document.id, PATIENCE).await.unwrap();
            shops.push(Shop { id: tenant.id, client, receiver });
        }
        Self(shops)
    }

    /// Replays the dead jobs that carry events: an operator would, and no event may be missing then.
    pub async fn replay_deliveries(&self, dead: &[Dead]) {
        for job in dead.iter().filter(|job| job.carries_an_event()) {
            let shop = self.0.iter().find(|shop| shop.id == job.tenant().to_string()).expect("a tenant of this run");
            let path = format!("/v1/jobs/dead/{}/replay", job.id());
            shop.client.call(Method::POST, &path, None).await.unwrap();
        }
    }
}

/// A conversation to be: the tenant's number and the texts.
struct Script {
    tenant: usize,
    texts: Vec<String>,
}

/// A conversation whose messages were all accepted, in this order.
pub struct Accepted {
    pub tenant: String,
    pub conversation: String,
    pub messages: Vec<String>,
}

pub struct Load {
    clients: JoinSet<Vec<Accepted>>,
    accepted: Vec<Accepted>,
}

impl Load {
    /// Begins to submit `messages`, one each `pace`.
    pub fn start(tenants: &Tenants, messages: usize, pace: Duration, random: &mut StdRng) -> Self {
        let scripts = Arc::new(Mutex::new(scripts(messages, random)));
        let pace = Arc::new(tokio::sync::Mutex::new(tokio::time::interval(pace)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (scripts, pace) = (scripts.clone(), pace.clone());
            let shops: Vec<_> = tenants.0.iter().map(|shop| (shop.id.clone(), shop.client.clone())).collect();
            clients.spawn(async move {
                let mut accepted = Vec::new();
                while let Some(script) = next(&scripts) {
                    let (tenant, client) = &shops[script.tenant];
                    accepted.push(converse(client, tenant, script.texts, &pace).await);
                }
                accepted
            });
        }
        Self { clients, accepted: Vec::new() }
    }

    /// Whether all is accepted.
    pub fn is_over(&mut self) -> bool {
        while let Some(client) = self.clients.try_join_next() {
            self.accepted.extend(client.expect("a client whose messages were all accepted"));
        }
        self.clients.is_empty()
    }

    /// The conversations whose messages were accepted.
    pub fn accepted(self) -> Vec<Accepted> {
        self.accepted
    }
}

fn next(scripts: &Mutex<VecDeque<Script>>) -> Option<Script> {
    scripts.lock().unwrap().pop_front()
}

fn scripts(messages: usize, random: &mut StdRng) -> VecDeque<Script> {
    let mut lengths = vec![LONG; messages / 2 / LONG];
    lengths.extend(vec![1; messages - lengths.len() * LONG]);
    lengths.shuffle(random);
    let mut script = |length: usize| {
        let texts = (0..length).map(|_| QUESTIONS[random.random_range(0..QUESTIONS.len())].to_owned()).collect();
        Script { tenant: random.random_range(0..TENANTS), texts }
    };
    lengths.into_iter().map(&mut script).collect()
}

type Pace = tokio::sync::Mutex<tokio::time::Interval>;

/// Submits a conversation, each message when the one before is accepted.
async fn converse(client: &Client, tenant: &str, texts: Vec<String>, pace: &Pace) -> Accepted {
    let mut accepted = Accepted { tenant: tenant.to_owned(), conversation: String::new(), messages: Vec::new() };
    for text in texts {
        pace.lock().await.tick().await;
        let begun = !accepted.messages.is_empty();
        let submission = Submission {
            conversation_id: begun.then(|| accepted.conversation.clone()),
            idempotency_key: Some(uuid::Uuid::now_v7().to_string()),
            ..Submission::new(text)
        };
        let message = submit(client, &submission).await;
        if accepted.messages.len().is_multiple_of(REPEATED) {
            assert_eq!(submit(client, &submission).await.id, message.id, "one key, one message");
        }
        accepted.conversation = message.conversation_id;
        accepted.messages.push(message.id);
    }
    accepted
}

/// Submits until the message is accepted: with one key, so that a repetition is the same message.
async fn submit(client: &Client, submission: &Submission) -> loadtest::client::Message {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.submit(submission).await {
            Ok(submitted) => return submitted.message,
            Err(error) if may_pass(&error) && Instant::now() < deadline => tokio::time::sleep(RETRY).await,
            Err(error) => panic!("a message was not accepted: {error:?}"),
        }
    }
}

/// No connection, a dependency that is away, or the first try with the key is still in flight. A 500 is a defect.
fn may_pass(error: &ClientError) -> bool {
    matches!(error, ClientError::Transport { .. }) || matches!(error.status(), Some(409 | 429 | 503))
}
