//! Engines for jobs that ask for none.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use jobs::{
    domain::{
        ids::{DocumentId, TenantId},
        settings::ModelSettings,
    },
    ports::{
        Chunk, Collection, Completion as Reply, DocumentReader, EmbedError, Embedder, Embedding, Engines, Found, Index,
        IndexError, LanguageModel, Limits, Model, ModelError, Models, Passage, Place, Prompt, Query, ReadError,
        SendError, SignedRequest, Versions, WebhookReply, WebhookSender,
    },
};
use tokio::sync::mpsc;

pub fn engines() -> Engines {
    let none = Arc::new(NoEngine);
    let model = Model { embedder: none.clone(), reader: none.clone() };
    let embedding = Models { current: model, next: None };
    Engines { embedding, index: none.clone(), reranker: None, model: none.clone(), webhooks: none }
}

struct NoEngine;

const NONE: &str = "the bench has no engines";

#[async_trait]
impl DocumentReader for NoEngine {
    async fn read(&self, _: &[u8], _: &str) -> Result<Vec<Passage>, ReadError> {
        unreachable!("{NONE}")
    }
}

#[async_trait]
impl Embedder for NoEngine {
    fn model(&self) -> &str {
        unreachable!("{NONE}")
    }

    fn dimension(&self) -> usize {
        unreachable!("{NONE}")
    }

    fn familiarity(&self, _: &str) -> f32 {
        unreachable!("{NONE}")
    }

    async fn embed_query(&self, _: &str) -> Result<Embedding, EmbedError> {
        unreachable!("{NONE}")
    }

    async fn embed_documents(&self, _: Vec<String>) -> Result<Vec<Embedding>, EmbedError> {
        unreachable!("{NONE}")
    }
}

#[async_trait]
impl Index for NoEngine {
    async fn add(&self, _: Collection<'_>, _: DocumentId, _: i32, _: Vec<Chunk>) -> Result<(), IndexError> {
        unreachable!("{NONE}")
    }

    async fn remove(&self, _: Collection<'_>, _: DocumentId, _: Versions) -> Result<u64, IndexError> {
        unreachable!("{NONE}")
    }

    async fn rows(&self, _: Collection<'_>) -> Result<u64, IndexError> {
        unreachable!("{NONE}")
    }

    async fn count(&self, _: TenantId, _: Option<DocumentId>) -> Result<u64, IndexError> {
        unreachable!("{NONE}")
    }

    async fn erase_document(&self, _: TenantId, _: DocumentId) -> Result<(), IndexError> {
        unreachable!("{NONE}")
    }

    async fn erase_tenant(&self, _: TenantId) -> Result<(), IndexError> {
        unreachable!("{NONE}")
    }

    async fn keep_models(&self, _: TenantId, _: &[&str]) -> Result<usize, IndexError> {
        unreachable!("{NONE}")
    }

    async fn maintain(&self, _: Collection<'_>) -> Result<(), IndexError> {
        unreachable!("{NONE}")
    }

    async fn search(&self, _: Collection<'_>, _: Query<'_>, _: Limits) -> Result<Found, IndexError> {
        unreachable!("{NONE}")
    }

    async fn passages(
        &self,
        _: Collection<'_>,
        _: &HashMap<Place, u64>,
    ) -> Result<HashMap<Place, Passage>, IndexError> {
        unreachable!("{NONE}")
    }
}

#[async_trait]
impl LanguageModel for NoEngine {
    fn takes_key(&self, _: &ModelSettings) -> bool {
        unreachable!("{NONE}")
    }

    async fn complete(&self, _: Prompt, _: mpsc::Sender<String>) -> Result<Reply, ModelError> {
        unreachable!("{NONE}")
    }
}

#[async_trait]
impl WebhookSender for NoEngine {
    async fn send(&self, _: SignedRequest) -> Result<WebhookReply, SendError> {
        unreachable!("{NONE}")
    }
}
