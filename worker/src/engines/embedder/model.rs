//! The ONNX model behind the embedder.

use std::{
    fs,
    panic::catch_unwind,
    path::Path,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, anyhow};
use fastembed::{
    InitOptionsUserDefined, Pooling, QuantizationMode, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
};
use jobs::ports::{EmbedError, Embedding};
use ort::environment::Environment;

/// Tokens the model reads of a text, its two special ones included; the rest is cut.
pub const MAX_TOKENS: usize = 256;

/// The one environment of ONNX Runtime that a process may have.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

pub struct Model {
    engine: TextEmbedding,
    dimension: usize,
}

impl Model {
    /// Loads the model and embeds a word, which tells the dimension and warms the session up.
    pub fn load(directory: &Path, intra_threads: usize) -> anyhow::Result<Self> {
        let definition = UserDefinedEmbeddingModel::new(read(directory, "model.onnx")?, tokenizer_files(directory)?)
            .with_pooling(Pooling::Mean)
            .with_quantization(QuantizationMode::Dynamic);
        let options = InitOptionsUserDefined::new()
            .with_environment(environment()?)
            .with_max_length(MAX_TOKENS)
            .with_intra_threads(intra_threads);
        let engine = TextEmbedding::try_new_from_user_defined(definition, options)
            .context("the embedding model could not be loaded")?;
        let mut model = Self { engine, dimension: 0 };
        model.dimension = model.embed("metachat")?.len();
        Ok(model)
    }

    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// The normalised vector of one text.
    pub fn embed(&mut self, text: &str) -> Result<Embedding, EmbedError> {
        let vectors = self.engine.embed([text], None).map_err(|error| EmbedError(error.to_string()))?;
        let vector = vectors.into_iter().next().ok_or_else(|| EmbedError("the model gave no vector".into()))?;
        match vector.iter().all(|number| number.is_finite()) {
            true => Ok(vector.into()),
            false => Err(EmbedError("the model gave a vector that is not finite".into())),
        }
    }
}

/// The files that a model's directory has beside the model.
pub fn tokenizer_files(directory: &Path) -> anyhow::Result<TokenizerFiles> {
    Ok(TokenizerFiles {
        tokenizer_file: read(directory, "tokenizer.json")?,
        config_file: read(directory, "config.json")?,
        special_tokens_map_file: read(directory, "special_tokens_map.json")?,
        tokenizer_config_file: read(directory, "tokenizer_config.json")?,
    })
}

fn read(directory: &Path, name: &str) -> anyhow::Result<Vec<u8>> {
    fs::read(directory.join(name)).with_context(|| format!("{}/{name}", directory.display()))
}

/// The environment of every session of this process, made with the first.
pub fn environment() -> anyhow::Result<Environment> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if environment.is_none() {
        // `ort` panics when the library that ORT_DYLIB_PATH names cannot be loaded.
        let made = catch_unwind(|| ort::init().build()).map_err(|_| {
            anyhow!("ONNX Runtime could not be loaded; set ORT_DYLIB_PATH to libonnxruntime 1.24 or newer")
        })?;
        *environment = Some(made?);
    }
    environment.clone().context("ONNX Runtime has no environment")
}
