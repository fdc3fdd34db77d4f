//! A text to the pieces that chunks are put together from: sentences and lines by the
//! rules of Unicode, and parts of those that are long.

use std::ops::Range;

use icu_segmenter::{
    SentenceSegmenter, WordSegmenter,
    options::{SentenceBreakInvariantOptions, WordBreakInvariantOptions},
};
use tokenizers::Tokenizer;

/// What a piece ends with; a greater one is a better place to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// In the middle of a word, or of a sentence in a script without spaces.
    Inside,
    Word,
    Line,
    Sentence,
    Paragraph,
}

/// Text that is not cut any more, with the space behind it. Pieces lie side by side and cover the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub range: Range<usize>,
    pub tokens: usize,
    pub end: End,
}

/// A word longer than the tokenizer looks at counts as one token to it, however long.
const BYTES_PER_TOKEN: usize = 12;
/// How far from a text's middle a place to cut is looked for, in bytes: no language has longer words.
const LONGEST_RUN: usize = 500;

/// Tokens of a text, at least one for every twelve bytes.
pub fn tokens(text: &str, tokenizer: &Tokenizer) -> usize {
    let least = text.trim_end().len().div_ceil(BYTES_PER_TOKEN);
    // The normalisers and models in use fail for no text; were one to, each byte would count.
    tokenizer.encode_fast(text, false).map_or(text.len(), |encoding| encoding.len().max(least))
}

/// The pieces of a text, each of at most `most` tokens.
pub fn of(text: &str, most: usize, tokenizer: &Tokenizer) -> Vec<Piece> {
    let sentences = SentenceSegmenter::new(SentenceBreakInvariantOptions::default());
    let mut pieces = Vec::new();
    let mut start = 0;
    for end in sentences.segment_str(text).skip(1) {
        // Empty lines, and what indents the next one, belong to what they follow.
        if !text[start..end].trim().is_empty() || end == text.len() {
            push(&mut pieces, text, start..end, kind(text, start..end), most, tokenizer);
            start = end;
        } else if let Some(before) = pieces.last_mut() {
            before.range.end = end;
            before.end = kind(text, before.range.clone());
            start = end;
        }
    }
    pieces
}

/// What ends a sentence or line.
fn kind(text: &str, range: Range<usize>) -> End {
    let content = text[range.clone()].trim_end();
    let gap = &text[range.start + content.len()..range.end];
    match gap.matches('\n').count() {
        0 => End::Sentence,
        1 if !content.ends_with(|last: char| last.is_alphanumeric() || ",;:-–—".contains(last)) => End::Sentence,
        1 => End::Line,
        _ => End::Paragraph,
    }
}

/// Adds a range in halves, and these in halves, until they are small enough.
fn push(pieces: &mut Vec<Piece>, text: &str, range: Range<usize>, end: End, most: usize, tokenizer: &Tokenizer) {
    let content = &text[range.clone()];
    // What has too many bytes need not be tokenised to know.
    let too_long = content.trim_end().len() > most * BYTES_PER_TOKEN;
    let tokens = if too_long { usize::MAX } else { tokens(content, tokenizer) };
    let half = if tokens > most { middle(content) } else { None };
    let Some((middle, half_end)) = half else {
        pieces.push(Piece { range, tokens, end });
        return;
    };
    let middle = range.start + middle;
    push(pieces, text, range.start..middle, half_end, most, tokenizer);
    push(pieces, text, middle..range.end, end, most, tokenizer);
}

/// Where to halve a text: behind a space near the middle, else between two words of a script without spaces, else between
/// two characters; nowhere in a single one.
fn middle(text: &str) -> Option<(usize, End)> {
    let content = text.trim_end();
    let centre = content.len() / 2;
    let from = content.floor_char_boundary(centre.saturating_sub(LONGEST_RUN));
    let around = &content[from..content.ceil_char_boundary(centre + LONGEST_RUN)];
    let inner = |at: &usize| (1..content.len()).contains(at);
    let nearest = |places: &mut dyn Iterator<Item = usize>| places.filter(inner).min_by_key(|at| at.abs_diff(centre));
    let spaces = around.char_indices().filter(|(_, character)| character.is_whitespace());
    if let Some(at) = nearest(&mut spaces.map(|(at, space)| from + at + space.len_utf8())) {
        return Some((at, End::Word));
    }
    let words = WordSegmenter::new_auto(WordBreakInvariantOptions::default());
    // The edges of what is looked at are no words'.
    let edges = [from, from + around.len()];
    let mut between = words.segment_str(around).map(|at| from + at).filter(|at| !edges.contains(at));
    if let Some(at) = nearest(&mut between) {
        return Some((at, End::Inside));
    }
    let first = content.chars().next()?.len_utf8();
    let at = content.floor_char_boundary(centre).max(first);
    (at < content.len()).then_some((at, End::Inside))
}
