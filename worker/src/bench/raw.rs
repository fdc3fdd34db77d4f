//! ONNX Runtime alone: the same model on texts that are tokens already, with nothing before or after.

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
use ort::{
    session::{Session, builder::GraphOptimizationLevel},
    value::Tensor,
};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

use crate::engines::embedder::{MAX_TOKENS, environment};

pub struct Raw {
    session: Session,
    tokenizer: Tokenizer,
}

/// Texts as the model takes them, padded to the longest.
pub struct Batch {
    shape: [usize; 2],
    ids: Vec<i64>,
    mask: Vec<i64>,
}

impl Raw {
    pub fn load(directory: &Path, intra_threads: usize) -> anyhow::Result<Self> {
        let model = fs::read(directory.join("model.onnx")).context("model.onnx")?;
        let failed = |error: ort::Error<ort::session::builder::SessionBuilder>| anyhow!("{error}");
        let session = Session::builder(&environment()?)?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(failed)?
            .with_intra_threads(intra_threads)
            .map_err(failed)?
            .commit_from_memory(&model)?;
        let failed = |error| anyhow!("tokenizer.json: {error}");
        let mut tokenizer = Tokenizer::from_file(directory.join("tokenizer.json")).map_err(failed)?;
        let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(failed)?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        Ok(Self { session, tokenizer })
    }

    pub fn tokenize(&self, texts: &[String]) -> anyhow::Result<Batch> {
        let encoded = self.tokenizer.encode_batch(texts.to_vec(), true).map_err(|error| anyhow!("{error}"))?;
        let longest = encoded.first().map_or(0, tokenizers::Encoding::len);
        let of = |numbers: fn(&tokenizers::Encoding) -> &[u32]| {
            encoded.iter().flat_map(|text| numbers(text).iter().map(|number| i64::from(*number))).collect()
        };
        Ok(Batch {
            shape: [encoded.len(), longest],
            ids: of(tokenizers::Encoding::get_ids),
            mask: of(tokenizers::Encoding::get_attention_mask),
        })
    }

    /// One call of the model.
    pub fn run(&mut self, batch: &Batch) -> anyhow::Result<()> {
        let types = vec![0_i64; batch.ids.len()];
        self.session.run(ort::inputs![
            "input_ids" => Tensor::from_array((batch.shape, batch.ids.clone()))?,
            "attention_mask" => Tensor::from_array((batch.shape, batch.mask.clone()))?,
            "token_type_ids" => Tensor::from_array((batch.shape, types))?,
        ])?;
        Ok(())
    }
}
