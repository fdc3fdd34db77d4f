//! Questions and passages to scores with a local cross-encoder.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use fastembed::{OnnxSource, RerankInitOptionsUserDefined, TextRerank, UserDefinedRerankingModel};
use jobs::ports::{RerankError, Reranker};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    embedder::{environment, model_id, tokenizer_files},
    model_thread,
};

/// Tokens the model reads of a question and a passage together; the rest is cut.
const MAX_TOKENS: usize = 512;
/// Questions in the line.
const PLACES: usize = 64;
/// Longest wait for the scores of a question's passages, the time in the line included.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, clap::Args)]
pub struct RerankerConfig {
    /// Directory of a cross-encoder, which reads the best passages beside the question and puts them in order: model.onnx and
    /// the files of its tokenizer, as of EMBEDDING_MODEL_DIR. Without it, results keep the order of the search.
    #[arg(long, env = "RERANKER_MODEL_DIR")]
    pub reranker_model_dir: Option<PathBuf>,
    /// Threads ONNX Runtime uses for one passage.
    #[arg(long, env = "RERANKER_INTRA_THREADS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub reranker_intra_threads: u8,
}

/// Scores on a thread of its own, one question after the other.
///
/// One passage per model call: of a quantised model the score would depend on the others in the call, and nothing is padded.
pub struct OnnxReranker {
    id: String,
    /// Taken when it is dropped, which ends the thread.
    line: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    query: String,
    passages: Vec<String>,
    reply: oneshot::Sender<Result<Vec<f32>, RerankError>>,
}

impl OnnxReranker {
    /// Loads the model that the settings name, if they do, and scores a word with it.
    pub async fn connect(config: &RerankerConfig) -> anyhow::Result<Option<Self>> {
        let Some(directory) = &config.reranker_model_dir else { return Ok(None) };
        let intra_threads = usize::from(config.reranker_intra_threads);
        Self::load(directory, intra_threads).await.map(Some).context("RERANKER_MODEL_DIR")
    }

    async fn load(directory: &Path, intra_threads: usize) -> anyhow::Result<Self> {
        let directory = directory.canonicalize().with_context(|| directory.display().to_string())?;
        let id = model_id(&directory)?;
        let (line, requests) = mpsc::channel(PLACES);
        let load = move || load(&directory, intra_threads);
        let (thread, ()) = model_thread::start("rerank", load, |_| (), |model| serve(model, requests)).await?;
        Ok(Self { id, line: Some(line), thread: Some(thread) })
    }

    async fn ask(&self, query: &str, passages: Vec<String>) -> Result<Vec<f32>, RerankError> {
        let stopped = || RerankError("the reranker is shutting down".into());
        let line = self.line.as_ref().ok_or_else(stopped)?;
        let (reply, answer) = oneshot::channel();
        let request = Request { query: query.to_owned(), passages, reply };
        line.send(request).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

#[async_trait]
impl Reranker for OnnxReranker {
    fn model(&self) -> &str {
        &self.id
    }

    async fn score(&self, query: &str, passages: Vec<String>) -> Result<Vec<f32>, RerankError> {
        timeout(PATIENCE, self.ask(query, passages))
            .await
            .unwrap_or_else(|_| Err(RerankError(format!("no scores within {} s", PATIENCE.as_secs()))))
    }
}

/// Lets the thread finish the passage in hand, so that no session runs while ONNX Runtime is torn down.
impl Drop for OnnxReranker {
    fn drop(&mut self) {
        self.line = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the reranker's thread had panicked");
        }
    }
}

fn load(directory: &Path, intra_threads: usize) -> anyhow::Result<TextRerank> {
    let source = OnnxSource::File(directory.join("model.onnx"));
    let definition = UserDefinedRerankingModel::new(source, tokenizer_files(directory)?);
    let mut options = RerankInitOptionsUserDefined::new().with_max_length(MAX_TOKENS).with_intra_threads(intra_threads);
    options.environment = Some(environment()?);
    let mut model =
        TextRerank::try_new_from_user_defined(definition, options).context("the model could not be loaded")?;
    score(&mut model, "metachat", "metachat")?;
    Ok(model)
}

/// Scores until nobody can ask any more.
fn serve(mut model: TextRerank, mut requests: mpsc::Receiver<Request>) {
    while let Some(Request { query, passages, reply }) = requests.blocking_recv() {
        // When nobody waits any more, what is left costs nothing.
        let wanted = passages.iter().take_while(|_| !reply.is_closed());
        let scores = wanted.map(|passage| score(&mut model, &query, passage)).collect();
        if reply.send(scores).is_err() {
            tracing::debug!("nobody waits for scores any more");
        }
    }
}

/// A panic of the model fails its question only.
fn score(model: &mut TextRerank, query: &str, passage: &str) -> Result<f32, RerankError> {
    let scored = catch_unwind(AssertUnwindSafe(|| model.rerank(query, [passage], false, None)));
    let scored = scored.map_err(|_| RerankError("the model panicked".into()))?;
    let scored = scored.map_err(|error| RerankError(error.to_string()))?;
    let score = scored.first().map(|result| result.score).filter(|score| score.is_finite());
    score.ok_or_else(|| RerankError("the model gave no finite score".into()))
}
