//! The words that the model knows.

use std::sync::Arc;

use tokenizers::Tokenizer;

/// Words of a query that are looked at.
const MAX_WORDS: usize = 64;
/// What tokenizers call a piece that they do not know.
const UNKNOWN: [&str; 2] = ["[UNK]", "<unk>"];

pub struct Vocabulary(pub Arc<Tokenizer>);

impl Vocabulary {
    /// The share of a text's letters in words that are one piece of the vocabulary; 1 for a text without words.
    pub fn familiarity(&self, text: &str) -> f32 {
        let words = text.split(|mark: char| !mark.is_alphanumeric());
        let words = words.filter(|word| word.contains(char::is_alphabetic)).take(MAX_WORDS);
        let (mut known, mut all) = (0, 0);
        for word in words {
            let letters = word.chars().count();
            all += letters;
            if self.is_whole(word) {
                known += letters;
            }
        }
        if all == 0 { 1.0 } else { known as f32 / all as f32 }
    }

    fn is_whole(&self, word: &str) -> bool {
        self.0.encode_fast(word, false).is_ok_and(|pieces| {
            matches!(pieces.get_ids(), [piece] if self.0.id_to_token(*piece).is_some_and(|piece| !UNKNOWN.contains(&piece.as_str())))
        })
    }
}
