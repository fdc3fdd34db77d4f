//! Text to vectors with a local ONNX model.

mod model;
mod model_id;
mod vocabulary;
mod waiting_line;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use jobs::ports::{EmbedError, Embedder, Embedding};
use moka::future::Cache;
use tokenizers::Tokenizer;
use tokio::time::timeout;

use self::{
    model::Model,
    vocabulary::Vocabulary,
    waiting_line::{Class, Serves, WaitingLine},
};
pub use self::{
    model::{MAX_TOKENS, environment, tokenizer_files},
    model_id::model_id,
};
use super::{model_thread, tokenizer};

/// Vectors of repeated queries kept, about 1.6 KiB each at 384 dimensions.
const CACHED_QUERIES: u64 = 10_000;
/// Texts of one document in the line at a time, so that documents embedded side by side take turns.
const TEXTS_IN_LINE: usize = 4;
/// Longest wait for a vector, the time in the line included.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, clap::Args)]
pub struct EmbedderConfig {
    /// Directory of the embedding model: model.onnx, tokenizer.json, config.json, special_tokens_map.json and
    /// tokenizer_config.json. Its name, and the beginning of model.onnx's SHA-256, stand on every stored row.
    #[arg(long, env = "EMBEDDING_MODEL_DIR")]
    pub embedding_model_dir: PathBuf,
    /// A second model, which `metachat index reembed` moves tenants to: on every worker until none is left, then the first.
    #[arg(long, env = "EMBEDDING_NEXT_MODEL_DIR")]
    pub embedding_next_model_dir: Option<PathBuf>,
    /// Texts embedded at the same time; each takes a thread and a copy of the model in memory. One more of both serves
    /// queries only.
    #[arg(long, env = "EMBEDDING_SESSIONS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub embedding_sessions: u8,
    /// Threads ONNX Runtime uses for one text. On a busy machine two were slower than one.
    #[arg(long, env = "EMBEDDING_INTRA_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub embedding_intra_threads: u8,
}

/// Embeds on threads of its own, queries ahead of documents, one text per model call.
///
/// One text per call because int8 dynamic quantisation takes the range of activations over the whole batch: a
/// vector would depend on its neighbours. A session of their own keeps queries from waiting for the text of a document
/// that is being embedded. Texts beyond 256 tokens are cut by the tokenizer.
pub struct OnnxEmbedder {
    id: String,
    dimension: usize,
    vocabulary: Vocabulary,
    line: Arc<WaitingLine>,
    threads: Vec<JoinHandle<()>>,
    queries: Cache<String, Embedding>,
}

impl OnnxEmbedder {
    /// Loads the model that workers begin with.
    pub async fn connect(config: &EmbedderConfig) -> anyhow::Result<Self> {
        Self::load(&config.embedding_model_dir, config).await.context("EMBEDDING_MODEL_DIR")
    }

    /// Loads the model of a directory once per session and waits until each is ready.
    pub async fn load(directory: &Path, config: &EmbedderConfig) -> anyhow::Result<Self> {
        let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
        let mut embedder = Self {
            id: model_id(&directory)?,
            dimension: 0,
            vocabulary: Vocabulary::new(tokenizer::load(&directory.join("tokenizer.json"))?),
            line: Arc::default(),
            threads: Vec::new(),
            queries: Cache::new(CACHED_QUERIES),
        };
        let documents = (0..config.embedding_sessions).map(|session| (format!("embed-{session}"), Serves::All));
        let queries = ("embed-queries".to_owned(), Serves::Queries);
        for (name, serves) in documents.chain([queries]) {
            let (line, directory) = (Arc::clone(&embedder.line), directory.clone());
            let intra_threads = usize::from(config.embedding_intra_threads);
            let load = move || Model::load(&directory, intra_threads);
            let serve = move |mut model: Model| line.serve(serves, |text| model.embed(text));
            let (thread, dimension) = model_thread::start(&name, load, Model::dimension, serve).await?;
            embedder.threads.push(thread);
            embedder.dimension = dimension;
        }
        Ok(embedder)
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.vocabulary.tokenizer)
    }

    async fn embed(&self, class: Class, text: String) -> Result<Embedding, EmbedError> {
        timeout(PATIENCE, self.line.ask(class, text))
            .await
            .unwrap_or_else(|_| Err(EmbedError(format!("no vector within {} s", PATIENCE.as_secs()))))
    }
}

#[async_trait]
impl Embedder for OnnxEmbedder {
    fn model(&self) -> &str {
        &self.id
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn familiarity(&self, text: &str) -> f32 {
        self.vocabulary.familiarity(text)
    }

    async fn embed_query(&self, text: &str) -> Result<Embedding, EmbedError> {
        let embedding = self.queries.try_get_with_by_ref(text, self.embed(Class::Query, text.to_owned())).await;
        embedding.map_err(|error: Arc<EmbedError>| error.as_ref().clone())
    }

    async fn embed_documents(&self, texts: Vec<String>) -> Result<Vec<Embedding>, EmbedError> {
        stream::iter(texts).map(|text| self.embed(Class::Document, text)).buffered(TEXTS_IN_LINE).try_collect().await
    }
}

/// Lets the threads finish the text in hand, so that no session runs while ONNX Runtime is torn down.
impl Drop for OnnxEmbedder {
    fn drop(&mut self) {
        self.line.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("an embedding thread had panicked");
            }
        }
    }
}
