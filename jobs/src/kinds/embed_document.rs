//! Brings the search index in line with a document's newest version.
//!
//! - **What:** reads the original, cuts it into passages and keeps them; embeds them for some seconds with the model that the
//!   tenant searches, stores them beside the old version's, notes how far it came, and continues itself, so that long documents
//!   do not keep short ones waiting; after the last passage it switches searches over in one commit and removes the old ones. A
//!   model that changed meanwhile has it begin again; one that is being built gets the document by `reembed_document`.
//! - **Who enqueues it:** the routes that upload documents and have them tried again; itself, until the last passage.
//! - **Twice:** chunk ids are stable, so the same rows are written again; what was noted is not repeated; the switch commits
//!   once.
//! - **Gives up:** the document is `failed`, with a reason its owner understands; an older version stays searchable.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    embedding::{self, Embedding, SLICE},
    emit_event::emit,
    reembed_document::ReembedDocument,
};
use crate::{
    domain::{
        event::{EventType, NewEvent},
        ids::{DocumentId, TenantId},
    },
    ports::{Model, Passage, ReadError, Versions},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy, Work, signals::Topic},
    store::{
        Scope, StoreError, TenantTx, document_versions,
        documents::{self, ToEmbed},
        embedding_models,
        originals::Version,
    },
};

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
        let Some(document) = documents::find(&mut tx, self.document).await? else {
            drop(tx);
            self.withdraw(context).await?;
            return context.cancel().await;
        };
        if document.version != self.version {
            drop(tx);
            self.withdraw(context).await?;
            // A later version has a job of its own.
            return context.cancel().await;
        }
        let models = &context.engines().embedding;
        let current = embedding_models::adopt(&mut tx, models.current.embedder.model()).await?;
        let model = models.of(current.as_deref())?;
        documents::mark_processing(&mut tx, self.document).await?;
        tx.commit().await?;

        let embedding = Embedding { context, model, version: self.of_version(), described: &document.described };
        let (passages, done) = match self.passages(&embedding, &document).await {
            Ok(passages) => passages,
            // A fault of the document, not of the job: it ends here, with the reason.
            Err(ReadError::Unreadable(reason)) => return self.fail(context, &reason).await,
            Err(ReadError::Unavailable(reason)) => return Err(Failure::Retry(reason)),
        };
        let chunks = embedding.embed(&passages, done, until).await?;
        let done = done + chunks.len();
        // Embedding takes long enough for the document to be erased, or replaced, meanwhile.
        if self.is_wanted(context).await? {
            embedding.store(chunks).await?;
        }
        match done < passages.len() {
            true => self.pause(context, model, &passages, done).await,
            false => self.switch(context, model, &document, &passages).await,
        }
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
    async fn passages(
        &self,
        embedding: &Embedding<'_>,
        document: &ToEmbed,
    ) -> Result<(Vec<Passage>, usize), ReadError> {
        let (context, model) = (embedding.context, embedding.model.embedder.model());
        if let Some(total) = document.total
            && document.model.as_deref() == Some(model)
            && let Some(passages) = embedding.kept(Some(total)).await?
        {
            return Ok((passages, document.done.min(total)));
        }
        let passages = embedding.read().await?;
        let noted = async {
            let mut work = context.side_work().await?;
            let begun = embedding::progress(&passages, 0);
            documents::progress(work.tx(), self.document, self.version, model, begun).await?;
            work.tell(Topic::Progress, self.document.uuid());
            work.commit().await
        };
        noted.await.map_err(|error: StoreError| ReadError::Unavailable(error.to_string()))?;
        Ok((passages, 0))
    }

    /// Notes how far the document has come and goes on in a job of its own, behind what others wait for.
    async fn pause(
        &self,
        context: &JobContext,
        model: &Model,
        passages: &[Passage],
        done: usize,
    ) -> Result<Done, Failure> {
        let mut work = self.finish(context).await?;
        let progress = embedding::progress(passages, done);
        documents::progress(work.tx(), self.document, self.version, model.embedder.model(), progress).await?;
        work.enqueue(self)?;
        work.tell(Topic::Progress, self.document.uuid());
        work.commit().await
    }

    /// Makes the new version visible, then removes the old one's chunks.
    async fn switch(
        &self,
        context: &JobContext,
        model: &Model,
        document: &ToEmbed,
        passages: &[Passage],
    ) -> Result<Done, Failure> {
        let mut done = self.finish(context).await?;
        let model = model.embedder.model();
        let models = embedding_models::held(done.tx()).await?;
        if models.current.as_deref() != Some(model) {
            // Searches have moved to another model since: what was stored is of no use to them.
            let begin = embedding::progress(passages, 0);
            documents::progress(done.tx(), self.document, self.version, model, begin).await?;
            done.enqueue(self)?;
            return done.commit().await;
        }
        let end = embedding::progress(passages, passages.len());
        documents::progress(done.tx(), self.document, self.version, model, end).await?;
        let switched = documents::mark_ready(done.tx(), self.document, self.version, model, end.chunks_total).await?;
        let mut superseded = Vec::new();
        if switched {
            superseded = document_versions::forget_superseded(done.tx(), self.document).await?;
            let data = json!({
                "name": document.described.name,
                "version": self.version,
                "chunks": end.chunks_total,
                "pages": end.pages_total,
            });
            emit(&mut done, NewEvent::about_document(EventType::DocumentIndexed, self.document, data))?;
            if let Some(model) = models.next {
                let Self { tenant, document, version } = *self;
                done.enqueue(&ReembedDocument { tenant, document, version, model, done: 0 })?;
            }
        }
        done.tell(Topic::Progress, self.document.uuid());
        let done = done.commit().await?;
        // Searches do not return these any more; whatever stays now goes with the next version, or by the sweep.
        let (tenant, document) = (self.tenant, self.document);
        let gone = if switched { Versions::Below(self.version) } else { Versions::Only(self.version) };
        if let Err(error) = embedding::remove(context, tenant, document, gone).await {
            tracing::warn!(%document, %error, "old chunks were not removed");
        }
        for version in superseded {
            if let Err(error) = context.runtime.originals.erase_version(Version { tenant, document, version }).await {
                tracing::warn!(%document, version, %error, "an old version's original was not removed");
            }
        }
        Ok(done)
    }

    /// Opens the transaction that finishes the job. Erased with its job, or overtaken, nobody else knows of what this run has
    /// stored.
    async fn finish(&self, context: &JobContext) -> Result<Completion<TenantTx>, Failure> {
        match context.finish::<TenantTx>().await {
            Err(Failure::Stale) if !self.is_wanted(context).await? => {
                self.withdraw(context).await?;
                Err(Failure::Stale)
            }
            finished => finished,
        }
    }

    /// Whether this is the newest version of a document that nobody asked to remove.
    async fn is_wanted(&self, context: &JobContext) -> Result<bool, Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = documents::find(&mut tx, self.document).await?;
        tx.commit().await?;
        Ok(found.is_some_and(|found| found.version == self.version))
    }

    /// Removes what any run stored of a version that is not wanted; of a document that is gone, all.
    async fn withdraw(&self, context: &JobContext) -> Result<(), Failure> {
        let mut tx = context.tenant_tx().await?;
        let found = documents::find(&mut tx, self.document).await?;
        tx.commit().await?;
        let gone = match found {
            None => Versions::All,
            Some(found) if found.ready_version == Some(self.version) => return Ok(()),
            Some(_) => Versions::Only(self.version),
        };
        embedding::remove(context, self.tenant, self.document, gone).await
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

/// Ends a version as failed, with its event; one that was overtaken is left alone.
async fn mark_failed(
    work: &mut Work<TenantTx>,
    document: DocumentId,
    version: i32,
    reason: &str,
) -> Result<(), StoreError> {
    if documents::mark_failed(work.tx(), document, version, reason).await? {
        let found = documents::show(work.tx(), document).await?;
        let data = json!({
            "reason": reason,
            "version": version,
            "searchable_version": found.as_ref().and_then(|found| found.ready_version),
            "progress": found.and_then(|found| found.progress),
        });
        let failed = NewEvent::about_document(EventType::DocumentFailed, document, data);
        emit(work, failed)?;
    }
    Ok(())
}
