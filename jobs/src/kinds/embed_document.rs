//! Brings the search index in line with a document's newest version.
//!
//! - **What:** reads the original, cuts it into passages, embeds them, stores them beside the old version's, and
//!   switches searches over in one commit; then removes the old ones. Of a document that is being erased, or was, it
//!   removes what an earlier run stored.
//! - **Who enqueues it:** the route that uploads documents.
//! - **Twice:** chunk ids are stable, so the same rows are written again; the switch commits once.
//! - **Gives up:** the document is `failed`, with a reason its owner understands; an older version stays searchable.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::emit_event::emit;
use crate::{
    domain::{
        document::Status,
        event::{EventType, NewEvent},
        ids::{DocumentId, TenantId},
    },
    ports::{Chunk, Passage, ReadError},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, Work, signals::Topic},
    store::{
        Scope, StoreError, TenantTx,
        documents::{self, ToEmbed},
    },
};

/// Passages embedded and stored per call of the embedder, which serves waiting queries in between.
const BATCH: usize = 64;
/// Most chunks of one document: about 10 000 pages.
const MAX_CHUNKS: usize = 50_000;

#[derive(Debug, Serialize, Deserialize)]
pub struct EmbedDocument {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
}

impl Job for EmbedDocument {
    type Scope = TenantTx;

    const KIND: &'static str = "embed_document";
    const LANE: Lane = Lane { slots: 2, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 5, base: Duration::from_secs(2), cap: Duration::from_secs(120) };
    const TIMEOUT: Duration = Duration::from_secs(1800);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        format!("{}:{}", self.document, self.version)
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.document.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = documents::find(&mut tx, self.document).await?;
        let Some(document) = found.filter(|found| found.status != Status::Deleting) else {
            drop(tx);
            self.withdraw(context).await?;
            return context.cancel().await;
        };
        if document.version != self.version {
            // A later version has a job of its own.
            drop(tx);
            return context.cancel().await;
        }
        documents::mark_processing(&mut tx, self.document).await?;
        let original = documents::original(&mut tx, self.document, self.version).await?;
        tx.commit().await?;
        let bytes = original.ok_or_else(|| Failure::Abandon("the uploaded file is missing".into()))?;
        let passages = match context.engines().reader.read(&bytes, &document.content_type).await {
            Ok(passages) if passages.len() > MAX_CHUNKS => {
                let reason = format!("The document is too long: {} passages, at most {MAX_CHUNKS}.", passages.len());
                return self.fail(context, &reason).await;
            }
            Ok(passages) => passages,
            // A fault of the document, not of the job: it ends here, with the reason.
            Err(ReadError::Unreadable(reason)) => return self.fail(context, &reason).await,
            Err(ReadError::Unavailable(reason)) => return Err(Failure::Retry(reason)),
        };
        let chunks = self.embed(context, &document, passages).await?;
        self.switch(context, &document, chunks).await
    }

    async fn give_up(burial: &mut Completion<TenantTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        let Some(document) = envelope.subject.map(DocumentId::from_uuid) else { return Ok(()) };
        tracing::error!(%document, cause, "document could not be processed");
        let named = envelope.payload["version"].as_i64().and_then(|version| i32::try_from(version).ok());
        // A payload that names no version was written for the newest, for all anybody can tell.
        let version = match named {
            Some(version) => Some(version),
            None => documents::find(burial.tx(), document).await?.map(|found| found.version),
        };
        let Some(version) = version else { return Ok(()) };
        mark_failed(burial, document, version, "The document could not be processed. Please try again later.").await
    }
}

impl EmbedDocument {
    /// Stores every passage with its vector; returns how many.
    async fn embed(&self, context: &JobContext, document: &ToEmbed, passages: Vec<Passage>) -> Result<usize, Failure> {
        let engines = context.engines();
        let total = passages.len();
        let mut position = 0;
        let mut chunks = Vec::with_capacity(total);
        for batch in passages.chunks(BATCH) {
            let texts = batch.iter().map(embedded_text).collect();
            let vectors = engines.embedder.embed_documents(texts).await?;
            for (passage, vector) in batch.iter().zip(vectors) {
                chunks.push(Chunk {
                    id: format!("{}:{}:{position}", self.document, self.version),
                    position,
                    // Postgres text, which answers end up in, holds no NUL.
                    text: passage.text.replace('\0', ""),
                    heading: passage.heading.clone(),
                    page: passage.page,
                    tags: document.tags.clone(),
                    language: document.language.clone(),
                    vector,
                });
                position += 1;
            }
        }
        // Embedding takes long enough for the document to be erased meanwhile.
        if !self.is_wanted(context).await? {
            return Ok(0);
        }
        engines.index.add(self.tenant, self.document, self.version, chunks).await?;
        metrics::counter!("metachat_chunks_embedded_total").increment(total as u64);
        Ok(total)
    }

    /// Makes the new version visible, then removes the old one's chunks.
    async fn switch(&self, context: &JobContext, document: &ToEmbed, chunks: usize) -> Result<Done, Failure> {
        let mut done = match context.finish::<TenantTx>().await {
            // Erased with its job, or overtaken: nobody else knows of what this run has stored.
            Err(Failure::Stale) if !self.is_wanted(context).await? => {
                self.withdraw(context).await?;
                return Err(Failure::Stale);
            }
            finished => finished?,
        };
        let count = i32::try_from(chunks).unwrap_or(i32::MAX);
        let switched = documents::mark_ready(done.tx(), self.document, self.version, count).await?;
        if switched {
            let data = json!({ "name": document.name, "version": self.version, "chunks": chunks });
            emit(&mut done, NewEvent::about_document(EventType::DocumentIndexed, self.document, data)).await?;
        }
        done.tell(Topic::Progress, self.document.uuid());
        let done = done.commit().await?;
        // Searches do not return these any more; whatever stays now goes with the next version. Overtaken by a newer
        // version or a removal, this one's own chunks go too.
        let keep_from = if switched { self.version } else { self.version + 1 };
        if let Err(error) = context.engines().index.remove_below(self.tenant, self.document, keep_from).await {
            tracing::warn!(document = %self.document, %error, "old chunks were not removed");
        }
        Ok(done)
    }

    /// Whether the document is there and nobody asked to remove it.
    async fn is_wanted(&self, context: &JobContext) -> Result<bool, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = documents::find(&mut tx, self.document).await?;
        tx.commit().await?;
        Ok(found.is_some_and(|found| found.status != Status::Deleting))
    }

    /// Removes what any run stored of a document that is not wanted.
    async fn withdraw(&self, context: &JobContext) -> Result<(), Failure> {
        context.engines().index.remove_below(self.tenant, self.document, i32::MAX).await?;
        Ok(())
    }

    async fn fail(&self, context: &JobContext, reason: &str) -> Result<Done, Failure> {
        let mut done = context.finish::<TenantTx>().await?;
        mark_failed(&mut done, self.document, self.version, reason).await?;
        done.commit().await
    }
}

/// Ends a version as failed, with its event; one that was overtaken is left alone.
async fn mark_failed(
    work: &mut Work<TenantTx>,
    document: DocumentId,
    version: i32,
    reason: &str,
) -> Result<(), StoreError> {
    if documents::mark_failed(work.tx(), document, version, reason).await? {
        let failed = NewEvent::about_document(EventType::DocumentFailed, document, json!({ "reason": reason }));
        emit(work, failed).await?;
    }
    Ok(())
}

/// What the vector is made from: a passage makes more sense under its headings.
fn embedded_text(passage: &Passage) -> String {
    match &passage.heading {
        Some(heading) => format!("{heading}\n{}", passage.text),
        None => passage.text.clone(),
    }
}
