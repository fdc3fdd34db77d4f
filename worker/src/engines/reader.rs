//! Uploaded bytes to passages.
//!
//! ```text
//! bytes ─► format (by the bytes) ─► short text, Markdown: here               ─┐
//!                                └► all others: a child process with limits  ─┴► parts ─► passages
//! ```

mod child;
mod encoding;
mod extract;
mod format;
mod passages;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use jobs::ports::{DocumentReader, Passage, ReadError};
use tokenizers::Tokenizer;

pub use self::child::{Extract, extract_main};
use self::{child::Child, format::Format};

/// Longest text that is cut into passages here, in bytes; what is longer goes to the child.
const SHORT: usize = 256 * 1024;

#[derive(Debug, Clone, clap::Args)]
pub struct ReaderConfig {
    /// Program started as `<program> extract …` to parse a document; this program when absent.
    #[arg(long, env = "EXTRACT_PROGRAM")]
    pub extract_program: Option<PathBuf>,
    /// Longest reading of a document, in seconds of processor time; by the clock it may take twice as long.
    #[arg(long, env = "EXTRACT_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub extract_seconds: u64,
}

/// What a parser gives: the document's text in reading order, in parts that are pages where the format has pages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// From 1.
    page: Option<u32>,
    text: String,
    /// Whether the text is Markdown, so that headings and blocks mean something.
    markdown: bool,
}

/// Reads text, Markdown, HTML, CSV, JSON, PDF, DOCX, PPTX and XLSX.
pub struct FileReader {
    child: Child,
    tokenizer: Arc<Tokenizer>,
}

impl FileReader {
    /// The embedding model's tokenizer measures the passages; the child reads it from `model_dir`.
    pub fn connect(config: &ReaderConfig, model_dir: &Path, tokenizer: Arc<Tokenizer>) -> anyhow::Result<Self> {
        let program = config.extract_program.clone().map_or_else(std::env::current_exe, Ok);
        let file = model_dir.join("tokenizer.json").canonicalize();
        let file = file.with_context(|| format!("the tokenizer in {}", model_dir.display()))?;
        let child =
            Child::new(program.context("this program's path")?, file, Duration::from_secs(config.extract_seconds));
        Ok(Self { child, tokenizer })
    }
}

#[async_trait]
impl DocumentReader for FileReader {
    async fn read(&self, bytes: &[u8], content_type: &str) -> Result<Vec<Passage>, ReadError> {
        let format = Format::of(bytes, content_type)?;
        let passages = match format {
            Format::Text | Format::Markdown if bytes.len() <= SHORT => {
                let part = extract::text(format, bytes, content_type);
                let tokenizer = Arc::clone(&self.tokenizer);
                let cut = tokio::task::spawn_blocking(move || passages::of(&[part], &tokenizer)).await;
                cut.map_err(|error| ReadError::Unavailable(format!("the document could not be split: {error}")))?
                    .map_err(ReadError::Unreadable)?
            }
            _ => self.child.extract(format, bytes, content_type).await?,
        };
        match passages.is_empty() {
            true => Err(ReadError::Unreadable("The file holds no text.".into())),
            false => Ok(passages),
        }
    }
}
