//! Parts to passages that fit the embedding model.

mod chunks;
mod duplicates;
mod pieces;
mod sections;

use jobs::ports::Passage;
use tokenizers::Tokenizer;

use self::sections::Section;
use super::Part;

/// Most tokens of a passage's text. The model reads 256; two are its own and the rest is for the headings, which are
/// embedded in front of the text because "It lasts three years" says little without "Warranty".
const MAX_TOKENS: usize = 220;
/// Tokens of the model for headings and text together.
const MODEL_TOKENS: usize = 252;
/// Least tokens left to the text under long headings.
const MIN_TOKENS: usize = 120;
/// Most tokens repeated from the end of one passage at the start of the next.
const OVERLAP: usize = 30;
/// Most passages of a document.
const MAX_PASSAGES: usize = 50_000;

/// Passages in reading order; empty only when the parts hold no text. Every word is in one of them.
///
/// # Errors
///
/// A sentence for the tenant, when there are too many.
pub fn of(parts: &[Part], tokenizer: &Tokenizer) -> Result<Vec<Passage>, String> {
    let markdown = parts.iter().any(|part| part.markdown);
    let (text, pages) = joined(parts);
    let sections = if markdown { sections::of(&text) } else { vec![Section::whole(&text)] };
    let mut passages = Vec::new();
    for section in sections {
        let mut heading = section.heading;
        let mut tokens = heading.as_deref().map_or(0, |heading| pieces::tokens(heading, tokenizer));
        if let Some(path) = heading.take_if(|_| tokens > MODEL_TOKENS - MIN_TOKENS) {
            // Too long to stand above the text: it is text itself.
            tokens = 0;
            push(&mut passages, &path, MAX_TOKENS, tokenizer, |_| (None, page_at(&pages, section.offset)))?;
        }
        let capacity = MAX_TOKENS.min(MODEL_TOKENS - tokens);
        let place = |offset| (heading.clone(), page_at(&pages, section.offset + offset));
        push(&mut passages, section.text, capacity, tokenizer, place)?;
    }
    Ok(duplicates::removed(passages))
}

/// Adds the passages of a text; `place` gives heading and page by the offset in it.
fn push(
    passages: &mut Vec<Passage>,
    text: &str,
    capacity: usize,
    tokenizer: &Tokenizer,
    place: impl Fn(usize) -> (Option<String>, Option<u32>),
) -> Result<(), String> {
    for range in chunks::of(text, &pieces::of(text, OVERLAP, tokenizer), capacity, OVERLAP) {
        if passages.len() == MAX_PASSAGES {
            return Err(format!("The document is too long: it has more than {MAX_PASSAGES} passages."));
        }
        let (heading, page) = place(range.start);
        passages.push(Passage { text: text[range].to_owned(), heading, page });
    }
    Ok(())
}

/// The text of all parts, and where each page begins in it, in bytes. NUL is left out, since Postgres cannot store it.
fn joined(parts: &[Part]) -> (String, Vec<(usize, u32)>) {
    let mut text = String::new();
    let mut pages = Vec::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        pages.extend(part.page.map(|page| (text.len(), page)));
        text.extend(part.text.split('\0'));
    }
    (text, pages)
}

fn page_at(pages: &[(usize, u32)], offset: usize) -> Option<u32> {
    let after = pages.partition_point(|(start, _)| *start <= offset);
    after.checked_sub(1).map(|index| pages[index].1)
}
