//! Brings the search index in line with a document's newest version.
//!
//! - **What:** reads the original, cuts it into passages and keeps them; embeds them for some seconds, stores them beside
//!   the old version's, notes how far it came, and continues itself, so that long documents do not keep short ones waiting;
//!   after the last passage it switches searches over in one commit and removes the old ones. Of a document that is being
//!   erased, or was, it removes what an earlier run stored.
//! - **Who enqueues it:** the routes that upload documents and have them tried again; itself, until the last passage.
//! - **Twice:** chunk ids are stable, so the same rows are written again; what was noted is not repeated; the switch commits
//!   once.
//! - **Gives up:** the document is `failed`, with a reason its owner understands; an older version stays searchable.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::{Instrument, field};
use uuid::Uuid;

use super::emit_event::emit;
use crate::{
    domain::{
        document::Status,
        event::{EventType, NewEvent},
        ids::{DocumentId, TenantId},
    },
    ports::{Chunk, Passage, ReadError, headed},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, Work, signals::Topic},
    store::{
        OriginalsError, Scope, StoreError, TenantTx,
        documents::{self, Progress, ToEmbed},
        originals::Version,
    },
    trace,
};

/// Passages per call of the embedder, which serves waiting queries in between.
const BATCH: usize = 16;
/// How long a run embeds before it lets others have its slot: what a short document waits for behind long ones, and many times
/// what a run costs besides.
const SLICE: Duration = Duration::from_secs(3);

#[derive(Debug, Serialize, Deserialize)]
pub struct EmbedDocument {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
}

impl Job for EmbedDocument {
    type Scope = TenantTx;

    const KIND: &'static str = "embed_document";
    const LANE: Lane = Lane { slots: 4, priority: 5 };
    const RETRY: RetryPolicy = RetryPolicy { attempts: 5, base: Duration::from_secs(2), cap: Duration::from_secs(120) };
    const TIMEOUT: Duration = Duration::from_secs(600);

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
        let until = Instant::now() + SLICE;
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
        tx.commit().await?;
        let (passages, done) = match self.passages(context, &document).await {
            Ok(passages) => passages,
            // A fault of the document, not of the job: it ends here, with the reason.
            Err(ReadError::Unreadable(reason)) => return self.fail(context, &reason).await,
            Err(ReadError::Unavailable(reason)) => return Err(Failure::Retry(reason)),
        };
        let done = self.embed(context, &document, &passages, done, until).await?;
        if done < passages.len() {
            return self.pause(context, &passages, done).await;
        }
        self.switch(context, &document, &passages).await
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
    /// The passages of the version, and how many of them an earlier run has stored. Read from the original once: later runs
    /// go on with what the first one kept.
    async fn passages(&self, context: &JobContext, document: &ToEmbed) -> Result<(Vec<Passage>, usize), ReadError> {
        let originals = &context.runtime.originals;
        let away = |error: OriginalsError| ReadError::Unavailable(error.to_string());
        if let Some(total) = document.total
            && let Some(kept) = originals.passages(self.of_version()).await.map_err(away)?
            && let Ok(passages) = serde_json::from_slice::<Vec<Passage>>(&kept)
            && passages.len() == total
        {
            return Ok((passages, document.done.min(total)));
        }
        let original = originals.get(self.of_version()).await.map_err(away)?;
        let original = original.ok_or_else(|| ReadError::Unreadable("The uploaded file is missing.".into()))?;
        let reading = tracing::info_span!(
            target: trace::TARGET,
            "read_document",
            "metachat.document.bytes" = original.len(),
            "metachat.document.passages" = field::Empty,
        );
        let read = context.engines().reader.read(&original, &document.content_type);
        let passages = read.instrument(reading.clone()).await?;
        reading.record("metachat.document.passages", passages.len());
        drop(reading);
        let kept = serde_json::to_vec(&passages).map_err(|error| ReadError::Unavailable(error.to_string()))?;
        originals.put_passages(self.of_version(), kept.into()).await.map_err(away)?;
        let noted = async {
            let mut work = context.side_work().await?;
            documents::progress(work.tx(), self.document, self.version, progress(&passages, 0)).await?;
            work.tell(Topic::Progress, self.document.uuid());
            work.commit().await
        };
        noted.await.map_err(|error: StoreError| ReadError::Unavailable(error.to_string()))?;
        Ok((passages, 0))
    }

    /// Stores passages with their vectors, from `done` on, until the slice is over, at least a batch; returns how many are
    /// stored.
    async fn embed(
        &self,
        context: &JobContext,
        document: &ToEmbed,
        passages: &[Passage],
        done: usize,
        until: Instant,
    ) -> Result<usize, Failure> {
        let mut position = done;
        let mut chunks = Vec::new();
        for batch in passages[done..].chunks(BATCH) {
            let texts = batch.iter().map(|passage| headed(passage.heading.as_deref(), &passage.text)).collect();
            let embedding = tracing::info_span!(
                target: trace::TARGET,
                "embed_passages",
                "gen_ai.request.model" = context.engines().embedder.model(),
                "metachat.document.passages" = batch.len(),
            );
            let vectors = context.engines().embedder.embed_documents(texts).instrument(embedding).await?;
            for (passage, vector) in batch.iter().zip(vectors) {
                chunks.push(Chunk {
                    position: u32::try_from(position).unwrap_or(u32::MAX),
                    text: passage.text.clone(),
                    heading: passage.heading.clone(),
                    page: passage.page,
                    tags: document.tags.clone(),
                    language: document.language.clone(),
                    vector,
                });
                position += 1;
            }
            if Instant::now() >= until {
                break;
            }
        }
        // Embedding takes long enough for the document to be erased meanwhile.
        if !self.is_wanted(context).await? {
            return Ok(position);
        }
        let count = chunks.len() as u64;
        let adding = tracing::info_span!(target: trace::TARGET, "add_to_index", "metachat.document.passages" = count);
        let added = context.engines().index.add(self.tenant, self.document, self.version, chunks);
        added.instrument(adding).await?;
        metrics::counter!("metachat_chunks_embedded_total").increment(count);
        Ok(position)
    }

    /// Notes how far the document has come and goes on in a job of its own, behind what others wait for.
    async fn pause(&self, context: &JobContext, passages: &[Passage], done: usize) -> Result<Done, Failure> {
        let mut work = match context.finish::<TenantTx>().await {
            // As at the switch.
            Err(Failure::Stale) if !self.is_wanted(context).await? => {
                self.withdraw(context).await?;
                return Err(Failure::Stale);
            }
            finished => finished?,
        };
        documents::progress(work.tx(), self.document, self.version, progress(passages, done)).await?;
        work.enqueue(self)?;
        work.tell(Topic::Progress, self.document.uuid());
        work.commit().await
    }

    /// Makes the new version visible, then removes the old one's chunks.
    async fn switch(&self, context: &JobContext, document: &ToEmbed, passages: &[Passage]) -> Result<Done, Failure> {
        let mut done = match context.finish::<TenantTx>().await {
            // Erased with its job, or overtaken: nobody else knows of what this run has stored.
            Err(Failure::Stale) if !self.is_wanted(context).await? => {
                self.withdraw(context).await?;
                return Err(Failure::Stale);
            }
            finished => finished?,
        };
        let end = progress(passages, passages.len());
        documents::progress(done.tx(), self.document, self.version, end).await?;
        let switched = documents::mark_ready(done.tx(), self.document, self.version, end.chunks_total).await?;
        if switched {
            let data = json!({ "name": document.name, "version": self.version, "chunks": end.chunks_total });
            emit(&mut done, NewEvent::about_document(EventType::DocumentIndexed, self.document, data))?;
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
        done.tell(Topic::Progress, self.document.uuid());
        done.commit().await
    }

    fn of_version(&self) -> Version {
        Version { tenant: self.tenant, document: self.document, version: self.version }
    }
}

/// How far it is with the first `done` passages stored.
fn progress(passages: &[Passage], done: usize) -> Progress {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let page = |passage: Option<&Passage>| i32::try_from(passage?.page?).ok();
    let pages_total = page(passages.last());
    // The page of the next passage is not done.
    let next = || page(passages.get(done)).map(|page| page - 1);
    let pages_done = pages_total.and_then(|total| if done < passages.len() { next() } else { Some(total) });
    Progress { chunks_done: count(done), chunks_total: count(passages.len()), pages_done, pages_total }
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
        emit(work, failed)?;
    }
    Ok(())
}
