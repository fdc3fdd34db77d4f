//! The engines outside, behind the ports of `jobs`: one adapter each.

pub mod embedder;
pub mod index;
pub mod language_model;
mod model_thread;
pub mod reader;
pub mod reranker;
mod retry_after;
pub mod tokenizer;
pub mod webhook_sender;

use std::{path::Path, sync::Arc};

use anyhow::Context;
use jobs::ports::{Engines, Model, Models, Reranker};

use self::{
    embedder::{EmbedderConfig, OnnxEmbedder},
    index::{IndexConfig, LanceIndex},
    language_model::{LanguageModelConfig, ModelRouter},
    reader::{FileReader, ReaderConfig},
    reranker::{OnnxReranker, RerankerConfig},
    webhook_sender::{HttpWebhookSender, WebhookConfig},
};

/// One part per engine; each field names its variable.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    #[command(flatten)]
    pub embedder: EmbedderConfig,
    #[command(flatten)]
    pub index: IndexConfig,
    #[command(flatten)]
    pub reranker: RerankerConfig,
    #[command(flatten)]
    pub reader: ReaderConfig,
    #[command(flatten)]
    pub language_model: LanguageModelConfig,
    #[command(flatten)]
    pub webhooks: WebhookConfig,
}

/// Makes every engine, or says which setting is wrong. Loads the models, which takes about a second each.
pub async fn connect(config: Config) -> anyhow::Result<Engines> {
    let current = model(&config, &config.embedder.embedding_model_dir).await.context("EMBEDDING_MODEL_DIR")?;
    let next = match &config.embedder.embedding_next_model_dir {
        Some(directory) => Some(model(&config, directory).await.context("EMBEDDING_NEXT_MODEL_DIR")?),
        None => None,
    };
    let reranker = OnnxReranker::connect(&config.reranker).await?;
    Ok(Engines {
        embedding: Models { current, next },
        index: Arc::new(LanceIndex::connect(&config.index).await?),
        reranker: reranker.map(|reranker| Arc::new(reranker) as Arc<dyn Reranker>),
        model: Arc::new(ModelRouter::connect(&config.language_model)?),
        webhooks: Arc::new(HttpWebhookSender::connect(&config.webhooks)?),
    })
}

async fn model(config: &Config, directory: &Path) -> anyhow::Result<Model> {
    let embedder = OnnxEmbedder::load(directory, &config.embedder).await?;
    let reader = FileReader::connect(&config.reader, directory, embedder.tokenizer())?;
    Ok(Model { embedder: Arc::new(embedder), reader: Arc::new(reader) })
}
