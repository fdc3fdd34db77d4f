//! Finds the passages that may answer a question.
//!
//! - **What:** embeds the question, asks both legs of the index in parallel, keeps what the ledger of documents says may
//!   be shown, fuses their rankings, has a reranker order the best where there is one, and saves these as sources, with the
//!   passages beside them and a record of who found what. One retriever for messages and searches.
//! - **Who enqueues it:** the turn of a message; the search route.
//! - **Twice:** reading only; the second run finds its job finished and saves nothing.
//! - **Gives up:** the message fails, or the search ends with an error.

mod legs;
mod reranking;

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

pub use legs::{CANDIDATES_PER_RESULT, Legs, PICKED_FROM_PER_RESULT, Picked, READ_PER_RESULT};
pub use reranking::Reranked;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{complete::Complete, turn};
use crate::{
    domain::{
        ids::{ConversationId, DocumentId, MessageId, SearchId, TenantId},
        message::Status,
        retrieval::{self, Source},
    },
    ports::{Collection, Index, Place, SearchFilter},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, signals::Topic},
    store::{
        StoreError, TenantTx,
        documents::{self, Searchable},
        embedding_models::{self, Models},
        messages::{self, Question},
        searches,
    },
};

/// Sources that come with the passages beside them: as many as an answer rests on.
const WITH_NEIGHBOURS: usize = retrieval::DEFAULT_LIMIT;
/// Longest neighbour; the passage itself is whole.
const NEIGHBOUR_CHARS: usize = 600;

/// Searches for one query at most: each but the last leaves out what the ones before found and may not be shown.
const ROUNDS: u32 = 4;

/// What the tenant is told when the job gives up.
const NOT_SEARCHED: &str = "The documents could not be searched.";

#[derive(Debug, Serialize, Deserialize)]
pub struct Retrieve {
    pub tenant: TenantId,
    pub target: Target,
}

/// What is searched for.
struct Asked {
    query: String,
    filter: SearchFilter,
    limit: usize,
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
            searches::finish(burial.tx(), SearchId::from_uuid(subject), &failed, None).await?;
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
        let question = messages::question(&mut tx, message, conversation, Status::Retrieving).await?;
        drop(tx);
        let Some(Question { message: asked, history, models, .. }) = question else {
            return context.cancel().await;
        };
        let query = retrieval::contextual_query(&history, &asked.text);
        let asked = Asked { query, filter: SearchFilter::default(), limit: retrieval::DEFAULT_LIMIT };
        let (sources, record) = self.search(context, &models, asked, WITH_NEIGHBOURS).await?;

        let mut done = context.finish_at_commit::<TenantTx>().await?;
        if messages::save_sources(done.tx(), message, &sources, &record).await? {
            turn::announce(&mut done, conversation, message, Status::Completing);
            done.enqueue(&Complete { tenant: self.tenant, conversation, message })?;
        }
        done.commit().await
    }

    async fn for_search(&self, context: &JobContext, search: SearchId) -> Result<Done, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = searches::find(&mut tx, search).await?;
        let models = embedding_models::of_tenant(&mut tx).await?;
        drop(tx);
        let Some((query, parameters)) = found else {
            return context.cancel().await;
        };
        let filter = SearchFilter {
            documents: parameters.documents,
            tags: parameters.tags,
            languages: parameters.languages,
            min_similarity: parameters.min_similarity,
            hidden: Vec::new(),
        };
        let asked = Asked { query, filter, limit: parameters.limit };
        let (sources, record) = self.search(context, &models, asked, 0).await?;

        let mut done = context.finish_at_commit::<TenantTx>().await?;
        let results = serde_json::to_value(sources).map_err(StoreError::from)?;
        searches::finish(done.tx(), search, &searches::Outcome::Found(results), Some(&record)).await?;
        done.tell(Topic::Progress, search.uuid());
        done.commit().await
    }

    /// The best sources for a query, the first of them with their neighbours, and a record of what each leg found and took.
    async fn search(
        &self,
        context: &JobContext,
        models: &Models,
        Asked { query, mut filter, limit }: Asked,
        with_neighbours: usize,
    ) -> Result<(Vec<Source>, Value), Failure> {
        let embedder = &*context.engines().embedding.of(models.current.as_deref())?.embedder;
        let index = &*context.engines().index;
        let mut round = 1;
        let mut in_vain = Duration::ZERO;
        let (mut legs, searchable) = loop {
            let mut legs = Legs::search(embedder, index, self.tenant, &query, &filter, limit).await?;
            metrics::histogram!("metachat_embed_query_seconds").record(legs.embedded.as_secs_f64());
            // Only of the version that searches may return, so that a switch or a removal shows at once.
            let searchable = self.searchable(context, &legs, &filter).await?;
            let shown = |document: &DocumentId, version: &i32| {
                searchable.get(document).is_some_and(|shown| shown.version == *version)
            };
            let hidden = legs.retain(|hit| shown(&hit.document, &hit.version));
            let before = filter.hidden.len();
            filter.hidden.retain(|(document, version)| !shown(document, version));
            let appeared = filter.hidden.len() < before;
            // What is not shown yet, or not any more, must not stand in the way of what is: it took places, or what took its
            // place was stored after this search had begun.
            if (hidden.is_empty() && !appeared) || legs.suffice(limit) || round == ROUNDS {
                break (legs, searchable);
            }
            filter.hidden.extend(hidden);
            in_vain += legs.searched;
            round += 1;
        };
        let collection = Collection { tenant: self.tenant, model: embedder.model() };
        let exists = |place: &Place| searchable.get(&place.document).is_some_and(|shown| place.position < shown.chunks);
        legs.read_best(index, collection, limit, with_neighbours, exists).await?;
        let reranked = match &context.engines().reranker {
            Some(reranker) => {
                legs.read_all(index, collection, limit).await?;
                Some(legs.rerank(&**reranker, &query).await)
            }
            None => None,
        };
        metrics::histogram!("metachat_search_seconds").record((in_vain + legs.searched).as_secs_f64());
        let picked = legs.pick(legs.fusion(), reranked.as_ref(), limit);
        let beside = picked.iter().take(with_neighbours).flat_map(|picked| picked.hit.beside()).flatten();
        let beside = beside.filter(|(place, _)| exists(place)).collect();
        let around = neighbours(index, collection, &legs, beside).await?;
        let sources = picked.iter().filter_map(|picked| {
            let shown = searchable.get(&picked.hit.document)?;
            let [before, after] = picked.hit.beside().map(|beside| around.get(&beside?.0).cloned());
            Some(source(picked, shown.name.clone(), before, after))
        });
        Ok((sources.collect(), legs.record(&query, embedder.model(), reranked.as_ref(), &picked)))
    }

    /// What searches may return of the documents that were found, or were left out.
    async fn searchable(
        &self,
        context: &JobContext,
        legs: &Legs,
        filter: &SearchFilter,
    ) -> Result<HashMap<DocumentId, Searchable>, StoreError> {
        let found = legs.hits().map(|hit| hit.document);
        let ids: HashSet<DocumentId> = found.chain(filter.hidden.iter().map(|(document, _)| *document)).collect();
        let ids: Vec<DocumentId> = ids.into_iter().collect();
        let mut tx = context.tenant_tx().await?;
        documents::searchable(&mut tx, &ids).await
    }
}

/// The texts at these places, which a model reads on in: most were read already, the others are looked up.
async fn neighbours(
    index: &dyn Index,
    collection: Collection<'_>,
    legs: &Legs,
    mut wanted: HashMap<Place, u64>,
) -> Result<HashMap<Place, String>, Failure> {
    let read = wanted.keys().filter_map(|place| Some((*place, legs.passage(*place)?.text.clone())));
    let mut around: HashMap<Place, String> = read.collect();
    wanted.retain(|place, _| !around.contains_key(place));
    let looked_up = index.passages(collection, &wanted).await?;
    around.extend(looked_up.into_iter().map(|(place, passage)| (place, passage.text)));
    around.values_mut().for_each(shorten);
    Ok(around)
}

/// Cuts a neighbour that is longer than [`NEIGHBOUR_CHARS`].
fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(NEIGHBOUR_CHARS) {
        text.truncate(end);
        text.push('…');
    }
}

fn source(picked: &Picked, document_name: String, before: Option<String>, after: Option<String>) -> Source {
    let Picked { hit, passage, score, .. } = *picked;
    Source {
        document_id: hit.document,
        document_name,
        chunk_id: hit.chunk_id.clone(),
        content: passage.text.clone(),
        heading: passage.heading.clone(),
        page: passage.page,
        before,
        after,
        similarity: hit.similarity,
        score,
    }
}
