//! Texts to the words that full-text search compares, in any language.
//!
//! Words are folded (lower case, without accents and a plural's `s`) and stand in the index twice: whole, and as their first
//! five letters, so that `refund`, `refunds` and `refunded`, `Rechnung` and `Rechnungen`, `računa` and `računu` meet while
//! the same form still counts more. That needs no language and comes up to a stemmer of the right one (worker/README.md has
//! the figures).
//! Scripts without spaces are cut into pairs of neighbouring characters.

use jobs::domain::extractive;
use unicode_normalization::{UnicodeNormalization, char::decompose_canonical};

/// Letters of a word's beginning.
const PREFIX: usize = 5;
/// Marks a beginning, so that it never meets a whole word.
const BEGINNING: &str = "~";
/// Letters of a word that count; what is longer is no word that anybody types.
const MAX_LETTERS: usize = 64;
/// Different words of a query that are searched for.
const MAX_QUERY_WORDS: usize = 64;

/// What the index holds of a text: terms between spaces, in reading order.
pub fn indexed(text: &str) -> String {
    terms(&words(text))
}

fn terms(words: &[String]) -> String {
    let mut terms = String::new();
    for word in words {
        let beginning: String = word.chars().take(PREFIX).collect();
        terms.extend([" ", word, " ", BEGINNING, &beginning]);
    }
    terms
}

/// The terms of a query, each once; empty when it holds nothing to search for.
pub fn searched(query: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    for word in words(query) {
        if seen.len() == MAX_QUERY_WORDS {
            break;
        }
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    terms(&seen)
}

/// The folded words of a text without those that say nothing; of a script without spaces, pairs of characters.
fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let mut words = Vec::new();
    for word in folded.split(|mark: char| !mark.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let dense = is_dense(first);
            let end = rest.char_indices().find(|(_, mark)| is_dense(*mark) != dense).map_or(rest.len(), |(at, _)| at);
            let (run, after) = rest.split_at(end);
            match dense {
                true => pairs(run, &mut words),
                false if extractive::is_stop_word(run) => {}
                false => words.push(singular(run).chars().take(MAX_LETTERS).collect()),
            }
            rest = after;
        }
    }
    words
}

/// Without the `s` of a plural in English, French and Spanish; elsewhere an ending that is lost on both sides.
fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() >= 3 && !stem.ends_with('s') => stem,
        _ => word,
    }
}

fn pairs(run: &str, words: &mut Vec<String>) {
    let marks: Vec<char> = run.chars().collect();
    match marks.len() {
        1 => words.push(run.to_owned()),
        _ => words.extend(marks.windows(2).map(|pair| pair.iter().collect::<String>())),
    }
}

/// Scripts that put no space between words: Han, Kana, Thai, Lao, Khmer, Burmese; and Hangul, whose endings stand on the word.
fn is_dense(mark: char) -> bool {
    matches!(mark,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3040}'..='\u{30ff}'
        | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Lower case in compatibility form; Latin, Greek and Cyrillic letters without their marks.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for mark in text.nfkc().flat_map(char::to_lowercase) {
        match mark {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'ı' => folded.push('i'),
            '\u{c0}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}' => decompose_canonical(mark, |part| {
                if !is_accent(part) {
                    folded.push(part);
                }
            }),
            mark if is_accent(mark) => {}
            mark => folded.push(mark),
        }
    }
    folded
}

fn is_accent(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}')
}
