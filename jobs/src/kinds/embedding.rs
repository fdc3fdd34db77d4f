//! What embedding a version of a document takes, for whichever job asks: its passages, read once, and their chunks, stored for
//! some seconds at a time.

use std::time::{Duration, Instant};

use tracing::{Instrument, field};

use crate::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Collection, Model, Passage, ReadError, Versions, headed},
    queue::{Failure, JobContext},
    store::{
        OriginalsError, Scope, document_versions::Described, documents::Progress, embedding_models, originals::Version,
    },
    trace,
};

/// Passages per call of the embedder, which serves waiting queries in between.
const BATCH: usize = 16;
/// How long a run embeds before it lets others have its slot: what a short document waits for behind long ones, and many times
/// what a run costs besides.
pub(super) const SLICE: Duration = Duration::from_secs(3);

/// A version, and the model that embeds it.
pub(super) struct Embedding<'a> {
    pub context: &'a JobContext,
    pub model: &'a Model,
    pub version: Version,
    pub described: &'a Described,
}

impl Embedding<'_> {
    /// What an earlier run read of the version, if so many passages are what it read.
    pub async fn kept(&self, total: Option<usize>) -> Result<Option<Vec<Passage>>, ReadError> {
        let kept = self.context.runtime.originals.passages(self.version, self.model.embedder.model()).await;
        let passages = kept.map_err(away)?.and_then(|kept| serde_json::from_slice::<Vec<Passage>>(&kept).ok());
        Ok(passages.filter(|passages| total.is_none_or(|total| passages.len() == total)))
    }

    /// Reads the version from its original, and keeps what was read.
    pub async fn read(&self) -> Result<Vec<Passage>, ReadError> {
        let originals = &self.context.runtime.originals;
        let original = originals.get(self.version).await.map_err(away)?;
        let original = original.ok_or_else(|| ReadError::Unreadable("The uploaded file is missing.".into()))?;
        let reading = tracing::info_span!(
            target: trace::TARGET,
            "read_document",
            "metachat.document.bytes" = original.len(),
            "metachat.document.passages" = field::Empty,
        );
        let read = self.model.reader.read(&original, &self.described.content_type);
        let passages = read.instrument(reading.clone()).await?;
        reading.record("metachat.document.passages", passages.len());
        drop(reading);
        let kept = serde_json::to_vec(&passages).map_err(|error| ReadError::Unavailable(error.to_string()))?;
        originals.put_passages(self.version, self.model.embedder.model(), kept.into()).await.map_err(away)?;
        Ok(passages)
    }

    /// Passages with their vectors, from `done` on, until a time, at least a batch.
    pub async fn embed(&self, passages: &[Passage], done: usize, until: Instant) -> Result<Vec<Chunk>, Failure> {
        let mut chunks = Vec::new();
        for batch in passages[done..].chunks(BATCH) {
            let texts = batch.iter().map(|passage| headed(passage.heading.as_deref(), &passage.text)).collect();
            let embedding = tracing::info_span!(
                target: trace::TARGET,
                "embed_passages",
                "gen_ai.request.model" = self.model.embedder.model(),
                "metachat.document.passages" = batch.len(),
            );
            let vectors = self.model.embedder.embed_documents(texts).instrument(embedding).await?;
            for (passage, vector) in batch.iter().zip(vectors) {
                chunks.push(Chunk {
                    position: u32::try_from(done + chunks.len()).unwrap_or(u32::MAX),
                    text: passage.text.clone(),
                    heading: passage.heading.clone(),
                    page: passage.page,
                    tags: self.described.tags.clone(),
                    language: self.described.language.clone(),
                    vector,
                });
            }
            if Instant::now() >= until {
                break;
            }
        }
        Ok(chunks)
    }

    /// Adds chunks to the model's collection.
    pub async fn store(&self, chunks: Vec<Chunk>) -> Result<(), Failure> {
        let count = chunks.len() as u64;
        let Version { tenant, document, version } = self.version;
        let collection = Collection { tenant, model: self.model.embedder.model() };
        let adding = tracing::info_span!(target: trace::TARGET, "add_to_index", "metachat.document.passages" = count);
        self.context.engines().index.add(collection, document, version, chunks).instrument(adding).await?;
        metrics::counter!("metachat_chunks_embedded_total").increment(count);
        Ok(())
    }
}

/// Removes versions of a document from what each of its tenant's models made of it.
pub(super) async fn remove(
    context: &JobContext,
    tenant: TenantId,
    document: DocumentId,
    versions: Versions,
) -> Result<(), Failure> {
    let mut tx = context.tenant_tx().await?;
    let models = embedding_models::of_tenant(&mut tx).await?;
    tx.commit().await?;
    for model in models.all() {
        context.engines().index.remove(Collection { tenant, model }, document, versions).await?;
    }
    Ok(())
}

/// How far a version is with the first `done` passages stored.
pub(super) fn progress(passages: &[Passage], done: usize) -> Progress {
    let page = |passage: Option<&Passage>| i32::try_from(passage?.page?).ok();
    let pages_total = page(passages.last());
    // The page of the next passage is not done.
    let next = || page(passages.get(done)).map(|page| page - 1);
    let pages_done = pages_total.and_then(|total| if done < passages.len() { next() } else { Some(total) });
    Progress { chunks_done: count(done), chunks_total: count(passages.len()), pages_done, pages_total }
}

/// As columns count.
pub(super) fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn away(error: OriginalsError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}
