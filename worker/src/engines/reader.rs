//! Uploaded bytes to passages.
//!
//! ```text
//! bytes ─► format (by the bytes) ─► text, Markdown: here
//!                                └► HTML, CSV, JSON, PDF: a child process with limits ─► parts ─► passages
//! ```

mod child;
mod extract;
mod format;
mod passages;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use jobs::ports::{DocumentReader, Passage, ReadError};
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

pub use self::child::extract_main;
use self::{child::Child, format::Format};

#[derive(Debug, Clone, clap::Args)]
pub struct ReaderConfig {
    /// Program started as `<program> extract --content-type <type>` to parse a document; this program when absent.
    #[arg(long, env = "EXTRACT_PROGRAM")]
    pub extract_program: Option<PathBuf>,
}

/// What a parser gives: the document's text in reading order, in parts that are pages where the format has pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// From 1.
    page: Option<u32>,
    text: String,
    /// Whether the text is Markdown, so that headings and blocks mean something.
    markdown: bool,
}

/// Reads text, Markdown, HTML, CSV, JSON and PDF.
pub struct FileReader {
    child: Child,
    tokenizer: Arc<Tokenizer>,
}

impl FileReader {
    /// `model_dir` holds the embedding model's tokenizer, which measures the passages.
    pub fn connect(config: &ReaderConfig, model_dir: &Path) -> anyhow::Result<Self> {
        let program = config.extract_program.clone().map_or_else(std::env::current_exe, Ok);
        let file = model_dir.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| anyhow!("{}: {error}", file.display()))?;
        tokenizer.with_truncation(None).map_err(|error| anyhow!("{}: {error}", file.display()))?.with_padding(None);
        Ok(Self { child: Child::new(program.context("this program's path")?), tokenizer: Arc::new(tokenizer) })
    }
}

#[async_trait]
impl DocumentReader for FileReader {
    async fn read(&self, bytes: Vec<u8>, content_type: &str) -> Result<Vec<Passage>, ReadError> {
        let format = Format::of(&bytes, content_type)?;
        let parts = match format {
            Format::Text | Format::Markdown => {
                let markdown = format == Format::Markdown;
                vec![Part { page: None, text: format::decode(bytes)?, markdown }]
            }
            Format::Pdf => self.child.extract(format, bytes).await?,
            Format::Html | Format::Csv | Format::Json => {
                self.child.extract(format, format::decode(bytes)?.into_bytes()).await?
            }
        };
        let tokenizer = Arc::clone(&self.tokenizer);
        let passages = tokio::task::spawn_blocking(move || passages::of(&parts, &tokenizer)).await;
        let passages =
            passages.map_err(|error| ReadError::Unavailable(format!("the document could not be split: {error}")))?;
        match passages.is_empty() {
            true => Err(ReadError::Unreadable("The file holds no text.".into())),
            false => Ok(passages),
        }
    }
}
