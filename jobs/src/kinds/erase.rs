//! Erases a document, a contact or a tenant, proves it, and leaves a receipt.
//!
//! - **What:** removes rows in batches, originals, and vectors with the files that hold them, notes what it removed in the
//!   transaction that removes it, then looks for what may be left and finishes the receipt with what it found: nothing.
//! - **Who enqueues it:** the routes that delete documents, contacts and tenants; itself, until nothing is left.
//! - **Twice:** what is gone stays gone, and a finished receipt stays as it is. A crash costs the batch in progress.
//! - **Gives up:** the receipt says `failed`, and the subject stays hidden or closed; the dead job goes on when it is
//!   replayed.
//!
//! That of a tenant is the platform's job: the tenant's own go with it.

mod contact;
mod document;
mod tenant;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{
        erasure::{Extent, Proof, Requester, Subject, VectorProof},
        ids::{DocumentId, ErasureId, TenantId},
    },
    ports::{Collection, Embedder, SearchFilter},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, Work},
    store::{
        Scope, StoreError, SystemTx, TenantTx, embedding_models,
        erasures::{self, Unfinished},
    },
};

/// Rows deleted in one transaction at most, of each table.
const BATCH: i64 = 500;
/// Transactions of one run; then it continues itself.
const BATCHES: u32 = 20;
/// Between two looks at jobs that have to end first.
const WAIT: Duration = Duration::from_secs(1);
/// What is searched for where no text of what is erased is known: any vector finds the nearest rows.
const ANY_QUERY: &str = "question order delivery price help";
/// Characters of a text that is searched for.
const QUERY_CHARS: usize = 200;

#[derive(Debug, Serialize, Deserialize)]
pub struct Erase {
    /// `None` where the tenant itself is erased.
    pub tenant: Option<TenantId>,
    pub erasure: ErasureId,
}

/// What a run came to.
enum Step {
    /// There is more to remove.
    More,
    /// A job that works on it has to end first.
    Wait,
    /// Nothing is left, as far as was looked for.
    Looked(Proof),
}

impl Job for Erase {
    type Scope = SystemTx;

    const KIND: &'static str = "erase";
    const LANE: Lane = Lane { slots: 2, priority: 5 };
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 20, base: Duration::from_secs(1), cap: Duration::from_secs(300) };
    const TIMEOUT: Duration = Duration::from_secs(170);

    fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    fn key(&self) -> String {
        self.erasure.to_string()
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.erasure.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
        let erasure = erasures::unfinished(tx.connection(), self.erasure).await?;
        tx.commit().await?;
        let Some(erasure) = erasure else {
            return context.cancel().await;
        };
        let step = match &erasure.subject {
            Subject::Document(document) => document::step(context, &erasure, *document).await?,
            Subject::Contact(contact) => contact::step(context, &erasure, contact).await?,
            Subject::Tenant(_) => tenant::step(context, &erasure).await?,
        };
        let mut done = context.finish::<SystemTx>().await?;
        match step {
            Step::More => done.enqueue(self)?,
            Step::Wait => done.enqueue_in(self, WAIT)?,
            Step::Looked(proof) if proof.holds() => {
                erasures::finish(done.tx().connection(), self.erasure, &proof).await?;
                let scope = erasure.subject.extent().as_str();
                done.count(metrics::counter!("metachat_erasures_total", "scope" => scope));
            }
            Step::Looked(proof) => return Err(Failure::Retry(format!("something is left: {proof:?}"))),
        }
        done.commit().await
    }

    async fn give_up(burial: &mut Completion<SystemTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        let Some(erasure) = envelope.subject.map(ErasureId::from_uuid) else { return Ok(()) };
        tracing::error!(%erasure, cause, "erasure ended half-way");
        erasures::fail(burial.tx().connection(), erasure).await
    }
}

/// Asks for an erasure in the transaction that hides or closes its subject. Asked again while it runs, it is the same one.
pub async fn request<S: Scope>(
    work: &mut Work<S>,
    tenant: TenantId,
    subject: &Subject,
    requester: Requester,
    request_id: &str,
) -> Result<ErasureId, StoreError> {
    let erasure = erasures::request(work.tx().connection(), tenant, subject, requester, request_id).await?;
    let owner = (subject.extent() != Extent::Tenant).then_some(tenant);
    work.enqueue(&Erase { tenant: owner, erasure })?;
    Ok(erasure)
}

/// Notes how many vectors are about to go, which the index does not commit with the ledger. Returns a text that finds one
/// of them: what the proof searches for. A run that finds none, as after a crash, has no better text than any.
async fn note_vectors(
    context: &JobContext,
    erasure: &Unfinished,
    document: Option<DocumentId>,
) -> Result<String, Failure> {
    let index = &context.engines().index;
    let vectors = index.count(erasure.tenant, document).await?;
    let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
    erasures::removing(tx.connection(), erasure.id, "vectors", vectors).await?;
    tx.commit().await?;
    let embedder = embedder(context, erasure.tenant).await?;
    let query = embedder.embed_query(ANY_QUERY).await?;
    let collection = Collection { tenant: erasure.tenant, model: embedder.model() };
    let found = index.search_vector(collection, &query, &filter(document), 1).await?;
    let found = found.iter().map(|hit| (hit.place(), hit.row)).collect();
    let passage = index.passages(collection, &found).await?.into_values().next();
    Ok(passage.map_or_else(|| ANY_QUERY.to_owned(), |passage| passage.text.chars().take(QUERY_CHARS).collect()))
}

/// Removes the objects of a document, or of the whole tenant, after noting how many there are.
async fn erase_originals(
    context: &JobContext,
    erasure: &Unfinished,
    document: Option<DocumentId>,
) -> Result<(), Failure> {
    let originals = &context.runtime.originals;
    let count = originals.count(erasure.tenant, document).await?;
    let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
    erasures::removing(tx.connection(), erasure.id, "originals", count).await?;
    tx.commit().await?;
    Ok(originals.erase(erasure.tenant, document).await?)
}

/// Looks for vectors that are left, by counting and by both ways of searching.
async fn vectors_left(
    context: &JobContext,
    erasure: &Unfinished,
    document: Option<DocumentId>,
    text: &str,
) -> Result<VectorProof, Failure> {
    let index = &context.engines().index;
    let embedder = embedder(context, erasure.tenant).await?;
    let query = embedder.embed_query(text).await?;
    let filter = filter(document);
    let collection = Collection { tenant: erasure.tenant, model: embedder.model() };
    Ok(VectorProof {
        rows: index.count(erasure.tenant, document).await?,
        vector_hits: index.search_vector(collection, &query, &filter, 1).await?.len(),
        text_hits: index.search_text(collection, text, &query, &filter, 1).await?.len(),
    })
}

/// That of the model which the tenant's searches read.
async fn embedder(context: &JobContext, tenant: TenantId) -> Result<&dyn Embedder, Failure> {
    let mut tx = TenantTx::begin(&context.runtime.database, Some(tenant)).await?;
    let models = embedding_models::of_tenant(&mut tx).await?;
    tx.commit().await?;
    Ok(&*context.engines().embedding.of(models.current.as_deref())?.embedder)
}

fn filter(document: Option<DocumentId>) -> SearchFilter {
    SearchFilter { documents: document.into_iter().collect(), ..SearchFilter::default() }
}
