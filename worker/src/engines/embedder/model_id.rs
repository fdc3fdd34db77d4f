//! What tells one embedding model from another.

use std::{fs, path::Path};

use anyhow::Context;
use sha2::{Digest, Sha256};

/// Bytes of the SHA-256 that make the version.
const VERSION_BYTES: usize = 4;

/// `{name}@{version}`: the directory's name, and the beginning of the SHA-256 of the model's file.
pub struct ModelId {
    id: String,
    name: usize,
}

impl ModelId {
    pub fn of(directory: &Path) -> anyhow::Result<Self> {
        let name = directory.file_name().context("it has no name")?.to_string_lossy().into_owned();
        let file = directory.join("model.onnx");
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        let digest = Sha256::digest(&bytes);
        let version: String = digest.iter().take(VERSION_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { id: format!("{name}@{version}"), name: name.len() })
    }

    pub fn as_str(&self) -> &str {
        &self.id
    }

    pub fn name(&self) -> &str {
        &self.id[..self.name]
    }
}
