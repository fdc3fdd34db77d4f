//! The tokenizer of an embedding model: it takes some megabytes, so each process has one for all that measures or knows words.

use std::{path::Path, sync::Arc};

use anyhow::anyhow;
use tokenizers::Tokenizer;

/// The tokenizer as it measures: whole texts, as they are. Reads a `tokenizer.json`.
pub fn load(file: &Path) -> anyhow::Result<Arc<Tokenizer>> {
    let failed = |error| anyhow!("{}: {error}", file.display());
    let mut tokenizer = Tokenizer::from_file(file).map_err(failed)?;
    tokenizer.with_truncation(None).map_err(failed)?.with_padding(None);
    Ok(Arc::new(tokenizer))
}
