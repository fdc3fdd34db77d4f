//! Measures the engines: what embedding and searching cost, alone and beside each other. `make bench ARGS="embed index"`.
//!
//! Vectors of the index' measurements are made, not embedded: a million texts would take a day. They lie in clusters within
//! clusters, as those of texts do, and are the same in every run.

mod clock;
mod embed;
mod index;
mod raw;
mod search;
mod tenants;
mod texts;
mod trickle;
mod vectors;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::engines::{
    embedder::EmbedderConfig,
    index::{IndexConfig, LanceIndex},
};

#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Passages a second, against ONNX Runtime alone; queries alone and beside documents.
    Embed {
        /// Passages embedded in a run.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(16..=100_000))]
        passages: u32,
        /// Writes the passages to a file, one JSON string a line, for others to embed, and ends.
        #[arg(long)]
        write_passages: Option<PathBuf>,
        #[command(flatten)]
        embedder: EmbedderConfig,
    },
    /// A tenant with many chunks: time to index, time of a search, recall against reading every vector.
    Index {
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
        chunks: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Many tenants in one process: memory, and the time of a search for any of them.
    Tenants {
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        tenants: u32,
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        chunks: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Documents added one by one, with upkeep as in production: the time of a search, against a table of the same rows made at
    /// once.
    Trickle {
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
        documents: u32,
        #[command(flatten)]
        place: Place,
    },
}

/// Where tables are made, and removed again.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

impl Place {
    async fn open(&self) -> anyhow::Result<(LanceIndex, Folder)> {
        let folder = Folder(self.folder.join(format!("metachat-bench-{}", std::process::id())));
        let config = IndexConfig { lancedb_uri: folder.0.display().to_string() };
        Ok((LanceIndex::connect(&config).await?, folder))
    }
}

/// A folder that goes with the measurement.
struct Folder(PathBuf);

impl Folder {
    fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.0).with_context(|| self.0.display().to_string())
    }
}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Embed { passages, write_passages: Some(file), .. } => write(&file, passages),
        Command::Embed { passages, embedder, .. } => embed::run(passages, &embedder).await,
        Command::Index { chunks, place } => index::run(chunks, &place).await,
        Command::Tenants { tenants, chunks, place } => tenants::run(tenants, chunks, &place).await,
        Command::Trickle { documents, place } => trickle::run(documents, &place).await,
    }
}

fn write(file: &Path, passages: u32) -> anyhow::Result<()> {
    let lines = texts::passages(passages).into_iter().map(|text| serde_json::to_string(&text).map(|line| line + "\n"));
    let lines: String = lines.collect::<Result<_, _>>()?;
    std::fs::write(file, lines).with_context(|| file.display().to_string())
}
