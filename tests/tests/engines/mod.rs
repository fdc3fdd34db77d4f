//! The worker's engines against the real libraries: ONNX Runtime, LanceDB, child processes, sockets.
//!
//! `EMBEDDING_MODEL_DIR` and `ORT_DYLIB_PATH` are set by `make test`, which builds the worker binary first.

mod embedder;
mod index;
mod language_model;
mod languages;
mod reader;
mod retrieval;
mod webhook_sender;

use std::path::PathBuf;

use worker::engines::{
    embedder::{EmbedderConfig, OnnxEmbedder},
    index::{IndexConfig, LanceIndex},
};

/// The index of an installation, as another process opens it.
pub async fn open_index(uri: &str) -> LanceIndex {
    let model = model_dir();
    let name = model.file_name().and_then(|name| name.to_str()).expect("a folder's name");
    LanceIndex::connect(&IndexConfig { lancedb_uri: uri.to_owned() }, name, 384).await.expect("the index opens")
}

fn model_dir() -> PathBuf {
    std::env::var_os("EMBEDDING_MODEL_DIR").expect("EMBEDDING_MODEL_DIR; run `make test`").into()
}

async fn connect_embedder() -> OnnxEmbedder {
    let config = EmbedderConfig { embedding_model_dir: model_dir(), embedding_sessions: 1, embedding_intra_threads: 1 };
    OnnxEmbedder::connect(&config).await.expect("the embedding model loads")
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
