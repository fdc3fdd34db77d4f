//! The worker's engines against the real libraries: ONNX Runtime, LanceDB, child processes, sockets.
//!
//! `EMBEDDING_MODEL_DIR` and `ORT_DYLIB_PATH` are set by `make test`, which builds the worker binary first.

mod embedder;
mod index;
mod language_model;
mod languages;
mod reader;
pub mod reranker;
mod retrieval;
mod webhook_sender;

use std::path::PathBuf;

use worker::engines::{
    embedder::{EmbedderConfig, OnnxEmbedder, model_id as id_of},
    index::{IndexConfig, LanceIndex},
};

/// The index of an installation, as another process opens it.
pub async fn open_index(uri: &str) -> LanceIndex {
    LanceIndex::connect(&IndexConfig { lancedb_uri: uri.to_owned() }).await.expect("the index opens")
}

/// The id of the workers' embedding model.
pub fn model_id() -> String {
    id_of(&model_dir().canonicalize().expect("the model's directory")).expect("a model")
}

pub fn model_dir() -> PathBuf {
    std::env::var_os("EMBEDDING_MODEL_DIR").expect("EMBEDDING_MODEL_DIR; run `make test`").into()
}

fn embedder_config(embedding_model_dir: PathBuf) -> EmbedderConfig {
    EmbedderConfig {
        embedding_model_dir,
        embedding_next_model_dir: None,
        embedding_sessions: 1,
        embedding_intra_threads: 1,
    }
}

async fn connect_embedder() -> OnnxEmbedder {
    OnnxEmbedder::connect(&embedder_config(model_dir())).await.expect("the embedding model loads")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
