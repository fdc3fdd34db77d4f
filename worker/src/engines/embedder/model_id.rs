//! What tells one embedding model from another.

use std::{fs, path::Path};

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Bytes of the SHA-256 that make the version.
const VERSION_BYTES: usize = 4;

/// `{name}@{version}`: the directory's name, and the beginning of the SHA-256 of the model's file.
pub fn model_id(directory: &Path) -> anyhow::Result<String> {
    let name = directory.file_name().context("it has no name")?.to_string_lossy();
    let file = directory.join("model.onnx");
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    let version: String = Sha256::digest(&bytes).iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{name}@{version}"))
}
