//! Parts to passages that fit the embedding model.

mod sections;

use jobs::ports::Passage;
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};
use tokenizers::Tokenizer;

use self::sections::Section;
use super::Part;

/// Most tokens of a passage. The model reads 256; two are its own and the rest is for the heading, which is
/// embedded in front of the text because "It lasts three years" says little without "Warranty".
const MAX_TOKENS: usize = 220;
/// Tokens of the model for heading and text together.
const MODEL_TOKENS: usize = 252;
/// Least tokens left to the text under a very long heading.
const MIN_TOKENS: usize = 120;
/// Tokens repeated from the end of one passage at the start of the next.
const OVERLAP: usize = 30;

/// Passages in reading order; empty only when the parts hold no text. Nothing is left out, however short.
pub fn of(parts: &[Part], tokenizer: &Tokenizer) -> Vec<Passage> {
    let markdown = parts.iter().any(|part| part.markdown);
    let (text, pages) = joined(parts);
    let sections = if markdown { sections::of(&text) } else { vec![Section::whole(&text)] };
    let mut passages = Vec::new();
    for section in sections {
        let heading_tokens = section.heading.as_deref().map_or(0, |heading| tokenizer.size(heading));
        let capacity = MODEL_TOKENS.saturating_sub(heading_tokens).clamp(MIN_TOKENS, MAX_TOKENS);
        for (offset, chunk) in split(section.text, capacity, markdown, tokenizer) {
            passages.push(Passage {
                text: chunk.to_owned(),
                heading: section.heading.clone(),
                page: page_at(&pages, section.offset + offset),
            });
        }
    }
    passages
}

/// Chunks with their offset in bytes.
fn split<'a>(text: &'a str, capacity: usize, markdown: bool, tokenizer: &Tokenizer) -> Vec<(usize, &'a str)> {
    let config = ChunkConfig::new(capacity).with_sizer(tokenizer);
    let overlapping = config.with_overlap(OVERLAP);
    let Ok(config) = overlapping else { unreachable!("the overlap is smaller than every capacity") };
    match markdown {
        true => MarkdownSplitter::new(config).chunk_indices(text).collect(),
        false => TextSplitter::new(config).chunk_indices(text).collect(),
    }
}

/// The text of all parts, and where each page begins in it, in bytes.
fn joined(parts: &[Part]) -> (String, Vec<(usize, u32)>) {
    let mut text = String::new();
    let mut pages = Vec::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        pages.extend(part.page.map(|page| (text.len(), page)));
        text.push_str(&part.text);
    }
    (text, pages)
}

fn page_at(pages: &[(usize, u32)], offset: usize) -> Option<u32> {
    let after = pages.partition_point(|(start, _)| *start <= offset);
    after.checked_sub(1).map(|index| pages[index].1)
}
