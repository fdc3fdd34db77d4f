//! Embeds the searchable version of a document with one of its tenant's models: the next one, which is built beside the one that
//! searches read, or that one anew.
//!
//! - **What:** takes the passages that the model's tokens make of the original, embeds them for some seconds, and continues
//!   itself with what is left. The last document that the next model lacked switches the tenant's searches over to it, in its own
//!   commit; the earlier model's table is dropped by `maintain_index` some minutes later.
//! - **Who enqueues it:** `metachat index reembed` and `rebuild`; `embed_document`, while a next model is being built; itself.
//! - **Twice:** chunk ids are stable, so the same rows are written again. A version or a model that is not wanted any more ends
//!   it.
//! - **Gives up:** searches stay with the model they have, until the dead job is replayed; `metachat index models` shows what is
//!   left. A document that cannot be read again does not hold the others up: it is stale when searches have moved on.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::embedding::{self, Embedding, SLICE};
use crate::{
    domain::ids::{DocumentId, TenantId},
    ports::{Collection, Passage, ReadError, Versions},
    queue::{Completion, Done, Envelope, Failure, Job, JobContext, Lane, RetryPolicy},
    store::{
        Scope, StoreError, TenantTx,
        document_versions::{self, Described},
        embedding_models,
        originals::Version,
    },
};

#[derive(Debug, Serialize, Deserialize)]
pub struct ReembedDocument {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
    /// Of the model.
    pub model: String,
    /// Passages that earlier runs have stored.
    pub done: usize,
}

impl Job for ReembedDocument {
    type Scope = TenantTx;

    const KIND: &'static str = "reembed_document";
    const LANE: Lane = Lane { slots: 2, priority: 5 };
    /// A worker that has not loaded the model yet may be the only one for a while.
    const RETRY: RetryPolicy =
        RetryPolicy { attempts: 20, base: Duration::from_secs(2), cap: Duration::from_secs(300) };
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn tenant(&self) -> Option<TenantId> {
        Some(self.tenant)
    }

    fn key(&self) -> String {
        format!("{}:{}:{}", self.document, self.version, self.model)
    }

    fn subject(&self) -> Option<Uuid> {
        Some(self.document.uuid())
    }

    async fn run(&self, context: &JobContext) -> Result<Done, Failure> {
        let until = Instant::now() + SLICE;
        let Some(described) = self.wanted(context).await? else {
            self.withdraw(context).await?;
            return context.cancel().await;
        };
        let model = context.engines().embedding.of(Some(&self.model))?;
        let embedding = Embedding { context, model, version: self.of_version(), described: &described };
        let passages = match self.passages(&embedding).await {
            Ok(passages) => passages,
            Err(ReadError::Unreadable(reason)) => return self.lose(context, &reason).await,
            Err(ReadError::Unavailable(reason)) => return Err(Failure::Retry(reason)),
        };
        let chunks = embedding.embed(&passages, self.done.min(passages.len()), until).await?;
        let done = self.done + chunks.len();
        if self.wanted(context).await?.is_some() {
            embedding.store(chunks).await?;
        }
        let mut work = match context.finish::<TenantTx>().await {
            // Erased with its job: nobody else knows of what this run has stored.
            Err(Failure::Stale) => {
                self.withdraw(context).await?;
                return Err(Failure::Stale);
            }
            finished => finished?,
        };
        if done < passages.len() {
            let Self { tenant, document, version, .. } = *self;
            work.enqueue(&Self { tenant, document, version, model: self.model.clone(), done })?;
            return work.commit().await;
        }
        let count = embedding::count(passages.len());
        let held = embedding_models::hold_version(work.tx(), self.document, self.version, &self.model, count).await?;
        if held && embedding_models::switch_when_whole(work.tx().connection(), self.tenant, &self.model).await? {
            tracing::info!(tenant = %self.tenant, model = self.model, "searches moved to another embedding model");
        }
        let finished = work.commit().await?;
        if !held {
            // A newer version took its place, and may have removed this one's chunks before the last were stored.
            self.withdraw(context).await?;
        }
        Ok(finished)
    }

    async fn give_up(_: &mut Completion<TenantTx>, envelope: &Envelope, cause: &str) -> Result<(), StoreError> {
        tracing::error!(document = ?envelope.subject, cause, "document could not be embedded with another model");
        Ok(())
    }
}

impl ReembedDocument {
    /// The version, while searches return it and the tenant has use for the model.
    async fn wanted(&self, context: &JobContext) -> Result<Option<Described>, Failure> {
        let mut tx = context.tenant_tx().await?;
        let models = embedding_models::of_tenant(&mut tx).await?;
        let described = document_versions::searchable(&mut tx, self.document, self.version).await?;
        tx.commit().await?;
        Ok(described.filter(|_| models.include(&self.model)))
    }

    async fn passages(&self, embedding: &Embedding<'_>) -> Result<Vec<Passage>, ReadError> {
        match embedding.kept(None).await? {
            Some(passages) => Ok(passages),
            None => embedding.read().await,
        }
    }

    /// Removes the version's chunks, unless searches return it; of a document that is gone, there is no version they return.
    async fn withdraw(&self, context: &JobContext) -> Result<(), Failure> {
        let mut tx = context.tenant_tx().await?;
        let searchable = document_versions::searchable(&mut tx, self.document, self.version).await?;
        tx.commit().await?;
        if searchable.is_none() {
            let collection = Collection { tenant: self.tenant, model: &self.model };
            context.engines().index.remove(collection, self.document, Versions::Only(self.version)).await?;
        }
        Ok(())
    }

    /// Has the others go on without a version that cannot be read again.
    async fn lose(&self, context: &JobContext, reason: &str) -> Result<Done, Failure> {
        tracing::error!(document = %self.document, reason, "a document cannot be embedded with another model");
        let mut done = context.finish::<TenantTx>().await?;
        embedding_models::lose_version(done.tx(), self.document, self.version).await?;
        embedding_models::switch_when_whole(done.tx().connection(), self.tenant, &self.model).await?;
        done.commit().await
    }

    fn of_version(&self) -> Version {
        Version { tenant: self.tenant, document: self.document, version: self.version }
    }
}
