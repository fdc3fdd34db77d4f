//! Finds the passages that may answer a question.
//!
//! - **What:** embeds the question, asks both legs of the index in parallel, fuses their rankings, keeps what the
//!   ledger of documents says may be shown, and saves the best as sources. One retriever for messages and searches.
//! - **Who enqueues it:** the turn of a message; the search route.
//! - **Twice:** reading only; the second run finds its job finished and saves nothing.
//! - **Gives up:** the message fails, or the search ends with an error.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{complete::Complete, turn};
use crate::{
    domain::{
        ids::{ConversationId, DocumentId, MessageId, SearchId, TenantId},
        message::Status,
        retrieval::{self, Source},
    },
    ports::{Hit, SearchFilter},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, signals::Topic},
    store::{StoreError, TenantTx, documents, messages, searches},
};

/// Candidates each leg brings, per wanted result: fusion needs more than it gives.
const CANDIDATES_PER_RESULT: usize = 6;

/// What the tenant is told when the job gives up.
const NOT_SEARCHED: &str = "The documents could not be searched.";

#[derive(Debug, Serialize, Deserialize)]
pub struct Retrieve {
    pub tenant: TenantId,
    pub target: Target,
}

/// Who asks.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Message { message: MessageId, conversation: ConversationId },
    Search { search: SearchId },
}

impl Job for Retrieve {
    type Scope = TenantTx;

    const KIND: &'static str = "retrieve";
    const LANE: Lane = Lane { slots: 8, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 5, base: Duration::from_millis(500), cap: Duration::from_secs(30) };
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        match self.target {
            Target::Message { message, .. } => message.to_string(),
            Target::Search { search } => search.to_string(),
        }
    }

    fn subject(&self) -> Option<Uuid> {
        Some(match self.target {
            Target::Message { message, .. } => message.uuid(),
            Target::Search { search } => search.uuid(),
        })
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        match self.target {
            Target::Message { message, conversation } => self.for_message(context, message, conversation).await,
            Target::Search { search } => self.for_search(context, search).await,
        }
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, _: &str) -> Result<(), StoreError> {
        if turn::fail(burial, envelope.subject, "retrieval_failed", NOT_SEARCHED).await? {
            return Ok(());
        }
        // No message has this id, or it has ended: if anything waits, it is a search.
        if let Some(subject) = envelope.subject {
            let failed = searches::Outcome::Failed(NOT_SEARCHED.to_owned());
            searches::finish(burial.tx(), SearchId::from_uuid(subject), &failed).await?;
            burial.tell(Topic::Progress, subject);
        }
        Ok(())
    }
}

impl Retrieve {
    async fn for_message(
        &self,
        context: &JobContext,
        message: MessageId,
        conversation: ConversationId,
    ) -> Result<Done, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = messages::find(&mut tx, message).await?;
        let Some(question) = found.filter(|found| found.status == Status::Retrieving) else {
            drop(tx);
            return context.cancel().await;
        };
        let history = messages::history(&mut tx, conversation, question.seq).await?;
        drop(tx);
        let query = retrieval::contextual_query(&history, &question.text);
        let (sources, record) =
            self.search(context, &query, &SearchFilter::default(), retrieval::DEFAULT_LIMIT).await?;

        let mut done = context.finish::<TenantTx>().await?;
        if messages::save_sources(done.tx(), message, &sources, &record).await? {
            turn::announce(&mut done, conversation, message, Status::Completing).await?;
            done.enqueue(&Complete { tenant: self.tenant, conversation, message })?;
        }
        done.commit().await
    }

    async fn for_search(&self, context: &JobContext, search: SearchId) -> Result<Done, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = searches::find(&mut tx, search).await?;
        drop(tx);
        let Some((query, parameters)) = found else {
            return context.cancel().await;
        };
        let filter = SearchFilter { documents: parameters.documents, tags: parameters.tags };
        let (sources, _) = self.search(context, &query, &filter, parameters.limit).await?;

        let mut done = context.finish::<TenantTx>().await?;
        let results = serde_json::to_value(sources).map_err(StoreError::from)?;
        searches::finish(done.tx(), search, &searches::Outcome::Found(results)).await?;
        done.tell(Topic::Progress, search.uuid());
        done.commit().await
    }

    /// The best sources for a query, and a record of what each leg found and took.
    async fn search(
        &self,
        context: &JobContext,
        query: &str,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<(Vec<Source>, Value), Failure> {
        let engines = context.engines();
        let started = Instant::now();
        let vector = engines.embedder.embed_query(query).await?;
        let embedded = started.elapsed();
        let candidates = limit * CANDIDATES_PER_RESULT;
        let (by_vector, by_text) = tokio::try_join!(
            engines.index.search_vector(self.tenant, &vector, filter, candidates),
            engines.index.search_text(self.tenant, query, &vector, filter, candidates),
        )?;
        let searched = started.elapsed() - embedded;
        metrics::histogram!("metachat_embed_query_seconds").record(embedded.as_secs_f64());
        metrics::histogram!("metachat_search_seconds").record(searched.as_secs_f64());

        let (by_vector, by_text) = self.only_searchable(context, by_vector, by_text).await?;
        let sources = fuse(&by_vector, &by_text, limit);
        let record = json!({
            "query": query,
            "model": engines.embedder.model(),
            "embed_ms": embedded.as_secs_f64() * 1000.0,
            "search_ms": searched.as_secs_f64() * 1000.0,
            "vector": leg(&by_vector),
            "text": leg(&by_text),
        });
        Ok((sources, record))
    }

    /// Keeps hits of the version that searches may return, so that a switch or a removal shows at once.
    async fn only_searchable(
        &self,
        context: &JobContext,
        by_vector: Vec<Hit>,
        by_text: Vec<Hit>,
    ) -> Result<(Vec<Named>, Vec<Named>), Failure> {
        let ids: HashSet<DocumentId> = by_vector.iter().chain(&by_text).map(|hit| hit.document).collect();
        let ids: Vec<DocumentId> = ids.into_iter().collect();
        let mut tx = context.tenant_tx().await?;
        let searchable = documents::searchable(&mut tx, &ids).await?;
        let keep = |hits: Vec<Hit>| {
            hits.into_iter()
                .filter_map(|hit| {
                    let (name, version) = searchable.get(&hit.document)?;
                    (*version == hit.version).then(|| Named { name: name.clone(), hit })
                })
                .collect()
        };
        Ok((keep(by_vector), keep(by_text)))
    }
}

/// A hit with its document's name.
struct Named {
    name: String,
    hit: Hit,
}

fn fuse(by_vector: &[Named], by_text: &[Named], limit: usize) -> Vec<Source> {
    let hits: HashMap<&str, &Named> =
        by_vector.iter().chain(by_text).map(|named| (named.hit.chunk_id.as_str(), named)).collect();
    let legs = [by_vector, by_text].map(|leg| leg.iter().map(|named| named.hit.chunk_id.as_str()).collect());
    retrieval::fuse(legs)
        .into_iter()
        .take(limit)
        .filter_map(|(chunk, score)| hits.get(chunk).map(|named| source(named, score)))
        .collect()
}

fn source(Named { name, hit }: &Named, score: f32) -> Source {
    Source {
        document_id: hit.document,
        document_name: name.clone(),
        chunk_id: hit.chunk_id.clone(),
        content: hit.text.clone(),
        heading: hit.heading.clone(),
        page: hit.page,
        similarity: hit.similarity,
        score,
    }
}

/// A leg's ten best, for the message's record.
fn leg(hits: &[Named]) -> Value {
    hits.iter().take(10).map(|Named { hit, .. }| json!({ "chunk": hit.chunk_id, "score": hit.score })).collect()
}
