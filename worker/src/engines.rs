//! The engines outside, behind the ports of `jobs`: one adapter each.

pub mod embedder;
pub mod index;
pub mod language_model;
pub mod reader;
mod retry_after;
pub mod webhook_sender;

use std::{path::Path, sync::Arc};

use anyhow::Context;
use jobs::ports::{Embedder, Engines, Model, Models};

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

/// Makes every engine, or says which setting is wrong. Loads the embedding models, which takes about a second each.
pub async fn connect(config: Config) -> anyhow::Result<(Engines, Vec<Loaded>)> {
    let mut loaded = Vec::new();
    let current = model(&config, &config.embedder.embedding_model_dir, &mut loaded).await;
    let current = current.context("EMBEDDING_MODEL_DIR")?;
    let next = match &config.embedder.embedding_next_model_dir {
        Some(directory) => Some(model(&config, directory, &mut loaded).await.context("EMBEDDING_NEXT_MODEL_DIR")?),
        None => None,
    };
    let engines = Engines {
        embedding: Models { current, next },
        index: Arc::new(LanceIndex::connect(&config.index).await?),
        model: Arc::new(ModelRouter::connect(&config.language_model)?),
        webhooks: Arc::new(HttpWebhookSender::connect(&config.webhooks)?),
    };
    Ok((engines, loaded))
}

/// An embedding model as it is announced to the database.
pub struct Loaded {
    pub id: String,
    pub name: String,
    pub dimension: usize,
}

async fn model(config: &Config, directory: &Path, loaded: &mut Vec<Loaded>) -> anyhow::Result<Model> {
    let embedder = OnnxEmbedder::load(directory, &config.embedder).await?;
    let (id, name) = (embedder.model().to_owned(), embedder.name().to_owned());
    loaded.push(Loaded { id, name, dimension: embedder.dimension() });
    Ok(Model { reader: Arc::new(FileReader::connect(&config.reader, directory)?), embedder: Arc::new(embedder) })
}
