//! Pieces to chunks: as many as fit, cut where the text pauses, each beginning with the end of the one before.

use std::ops::Range;

use super::pieces::{End, Piece};

/// Ranges of the text, in order, each of at most `capacity` tokens, which no piece exceeds. Together they hold all of it but
/// for space at their ends; `overlap` tokens at most are in two of them.
pub fn of(text: &str, pieces: &[Piece], capacity: usize, overlap: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut first = 0;
    while first < pieces.len() {
        let last = cut(pieces, first, capacity);
        let range = trimmed(text, pieces[first].range.start..pieces[last].range.end);
        if !range.is_empty() {
            ranges.push(range);
        }
        if last + 1 == pieces.len() {
            break;
        }
        first = resume(pieces, first, last, overlap);
    }
    ranges
}

/// The last piece of a chunk: of those in its second half, the last of those that end best.
fn cut(pieces: &[Piece], first: usize, capacity: usize) -> usize {
    let (mut best, mut tokens) = (first, 0);
    for (at, piece) in pieces.iter().enumerate().skip(first) {
        tokens += piece.tokens;
        if tokens > capacity {
            return best;
        }
        if tokens * 2 < capacity || piece.end >= pieces[best].end {
            best = at;
        }
    }
    pieces.len() - 1
}

/// Where the next chunk begins: as far before its first new piece as the overlap allows, behind a pause at least as good as
/// the one that was cut at; half a row or half a sentence in front of a whole one would say nothing.
fn resume(pieces: &[Piece], first: usize, last: usize, overlap: usize) -> usize {
    let pause = pieces[last].end.min(End::Sentence);
    let (mut start, mut tokens) = (last + 1, 0);
    for at in (first + 1..=last).rev() {
        tokens += pieces[at].tokens;
        if tokens > overlap {
            break;
        }
        if pieces[at - 1].end >= pause {
            start = at;
        }
    }
    start
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let start = range.start + (inner.len() - inner.trim_start().len());
    start..start + inner.trim().len()
}
