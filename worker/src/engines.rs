//! The engines outside, behind the ports of `jobs`: one adapter each.

pub mod embedder;
pub mod index;
pub mod language_model;
pub mod reader;
mod retry_after;
pub mod webhook_sender;

use std::sync::Arc;

use jobs::ports::{Embedder, Engines};

use self::{
    embedder::{EmbedderConfig, OnnxEmbedder},
    index::{IndexConfig, LanceIndex},
    language_model::{LanguageModelConfig, ModelRouter},
    reader::{FileReader, ReaderConfig},
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
    pub reader: ReaderConfig,
    #[command(flatten)]
    pub language_model: LanguageModelConfig,
    #[command(flatten)]
    pub webhooks: WebhookConfig,
}

/// Makes every engine, or says which setting is wrong. Loads the embedding model, which takes about a second.
pub async fn connect(config: Config) -> anyhow::Result<Engines> {
    let embedder = OnnxEmbedder::connect(&config.embedder).await?;
    let index = LanceIndex::connect(&config.index, embedder.model(), embedder.dimension()).await?;
    Ok(Engines {
        reader: Arc::new(FileReader::connect(&config.reader, &config.embedder.embedding_model_dir)?),
        embedder: Arc::new(embedder),
        index: Arc::new(index),
        model: Arc::new(ModelRouter::connect(&config.language_model)?),
        webhooks: Arc::new(HttpWebhookSender::connect(&config.webhooks)?),
    })
}
