//! The tenants that send a load, each with the sample documents, limits that do not get in the way, and what the scenario
//! gives them: a webhook endpoint, conversations.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::Utc;
use futures::future::try_join_all;
use serde_json::json;

use super::scenario::{Kind, Load, Webhook};
use crate::client::{Client, DocumentStatus, NewTenant, Submission};
use crate::receiver::{Behaviour, Receiver};
use crate::samples;

/// Beyond what any run sends.
const NO_LIMIT: u32 = 100_000_000;
/// Nothing listens there: the port of the discard service, which a development machine does not run.
const NOBODY: &str = "http://127.0.0.1:9/hook";

/// Most spaces between two words of a question. The shortest has four words: 4 096 texts.
const MOST_SPACES: u64 = 16;
/// Numbers of texts that a run may use up in a second, for one question.
const TEXTS_A_SECOND: u64 = 16;

/// The tenants of one load; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tenants: Vec<Tenant>,
    questions: Vec<String>,
    /// Number of the first text of each question.
    first_text: u64,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Tenant {
    client: Client,
    conversations: Vec<String>,
    receiver: Option<Receiver>,
}

/// Who sends the next arrival, and what.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) client: Client,
    pub(super) question: String,
    pub(super) conversation: Option<String>,
    /// Counts arrivals.
    pub(super) number: usize,
}

impl Fleet {
    /// Returns once every document is searchable and every conversation is open.
    pub(super) async fn launch(admin: &Client, load: &Load, limit: Duration) -> anyhow::Result<Self> {
        let tenants = (1..=load.tenants).map(|number| Tenant::open(admin, load, number, limit));
        let questions = samples::questions()
            .into_iter()
            .filter(|question| question.expected_document.is_some())
            .map(|question| question.question)
            .collect();
        let tenants = try_join_all(tenants).await?;
        let first_text = Utc::now().timestamp().unsigned_abs() * TEXTS_A_SECOND;
        Ok(Self(Arc::new(Inner { tenants, questions, first_text, turn: AtomicUsize::new(0) })))
    }

    /// Tenants take turns, and within each its conversations; questions go on one by one.
    pub(super) fn next(&self) -> Sender {
        let Inner { tenants, questions, first_text, turn } = &*self.0;
        let number = turn.fetch_add(1, Ordering::Relaxed);
        let tenant = &tenants[number % tenants.len()];
        let round = number / tenants.len();
        let conversation = match tenant.conversations.len() {
            0 => None,
            conversations => Some(tenant.conversations[round % conversations].clone()),
        };
        let text = first_text + (number / questions.len()) as u64;
        let question = spaced(&questions[number % questions.len()], text);
        Sender { client: tenant.client.clone(), question, conversation, number }
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.tenants[0].client
    }

    pub(super) fn receivers(&self) -> impl Iterator<Item = &Receiver> {
        self.0.tenants.iter().filter_map(|tenant| tenant.receiver.as_ref())
    }
}

/// The same question in another text for each number: the embedding of one that came before would be remembered, and a word more might
/// change its answer.
fn spaced(question: &str, mut number: u64) -> String {
    let mut text = String::new();
    for mark in question.chars() {
        text.push(mark);
        if mark == ' ' {
            text.extend((0..number % MOST_SPACES).map(|_| ' '));
            number /= MOST_SPACES;
        }
    }
    text
}

impl Tenant {
    async fn open(admin: &Client, load: &Load, number: u32, limit: Duration) -> anyhow::Result<Self> {
        let mut new = unlimited(&format!("Load {} {number}", load.name));
        // Every answer that was written is sent: what is measured is the pipeline, not the judgement.
        new.settings = Some(json!({
            "model": { "provider": load.provider.as_deref().unwrap_or("auto") },
            "confidence": { "mode": "lenient" },
        }));
        let tenant = admin.create_tenant(&new).await.context("cannot create a tenant")?;
        let client = admin.with_key(&tenant.api_key.key);
        if load.kind != Kind::Document {
            know_the_samples(&client, limit).await?;
        }
        let conversations = (0..load.conversations).map(|_| open_conversation(&client, limit));
        let conversations = try_join_all(conversations).await?;
        let receiver = match &load.webhook {
            Some(webhook) => subscribe(&client, webhook).await.context("cannot receive webhooks")?,
            None => None,
        };
        Ok(Self { client, conversations, receiver })
    }
}

async fn know_the_samples(client: &Client, limit: Duration) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    for sample in samples::documents() {
        ids.push(sample.upload(client).await?.id);
    }
    try_join_all(ids.iter().map(|id| searchable(client, id, limit))).await?;
    Ok(())
}

async fn searchable(client: &Client, id: &str, limit: Duration) -> anyhow::Result<()> {
    let document = client.settled_document(id, limit).await?;
    if document.status == DocumentStatus::Failed {
        bail!("{} failed: {}", document.name, document.reason.unwrap_or_default());
    }
    Ok(())
}

async fn open_conversation(client: &Client, limit: Duration) -> anyhow::Result<String> {
    let submission = Submission::new("How long can I return a jacket?");
    let message = client.submit(&submission).await.context("cannot open a conversation")?.message;
    client.final_message(&message.id, limit).await.context("the first message of a conversation was not answered")?;
    Ok(message.conversation_id)
}

async fn subscribe(client: &Client, webhook: &Webhook) -> anyhow::Result<Option<Receiver>> {
    if webhook.dead {
        client.create_endpoint(NOBODY, &["message.sent"]).await?;
        return Ok(None);
    }
    let behaviour = Behaviour { delay: webhook.delay, ..Behaviour::answering(webhook.statuses.clone()) };
    let receiver = Receiver::counting(behaviour).await?;
    let endpoint = client.create_endpoint(&receiver.url(), &["message.sent"]).await?;
    receiver.set_secret(&endpoint.secret);
    Ok(Some(receiver))
}

pub(crate) fn unlimited(name: &str) -> NewTenant {
    let limits = json!({
        "conversations": NO_LIMIT, "documents": NO_LIMIT, "messages": NO_LIMIT,
        "api_calls": NO_LIMIT, "requests_per_minute": NO_LIMIT, "messages_per_minute": NO_LIMIT,
    });
    NewTenant { name: name.to_owned(), plan: Some("pro".into()), limits: Some(limits), settings: None }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_question_has_many_texts() {
        let question = "Can I pay by card?";
        let texts: HashSet<String> = (0..81).map(|number| spaced(question, number)).collect();
        assert_eq!(texts.len(), 81);
        assert!(texts.iter().all(|text| text.split_whitespace().eq(question.split(' '))));
    }
}
