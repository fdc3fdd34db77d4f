//! The words that the model knows.

use std::sync::Arc;

use tokenizers::{ModelWrapper, Tokenizer};

/// Words of a query that are looked at.
const MAX_WORDS: usize = 64;
/// What tokenizers call a piece that they do not know.
const UNKNOWN: [&str; 2] = ["[UNK]", "<unk>"];

pub struct Vocabulary {
    pub tokenizer: Arc<Tokenizer>,
    /// Whether its pieces are the longest beginnings of words in lower case, as those of BERT's uncased models.
    lower_case_words: bool,
}

impl Vocabulary {
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        let word_piece = matches!(tokenizer.get_model(), ModelWrapper::WordPiece(_));
        let pieces = |word| tokenizer.encode_fast(word, false).map(|pieces| pieces.get_ids().to_vec()).ok();
        let lower_case_words = word_piece && pieces("THE") == pieces("the");
        Self { tokenizer, lower_case_words }
    }

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
        // Without the tokenizer's steps, which take longer than the search for one word.
        if self.lower_case_words && word.is_ascii() {
            return self.tokenizer.token_to_id(&word.to_ascii_lowercase()).is_some();
        }
        self.tokenizer.encode_fast(word, false).is_ok_and(|pieces| {
            let is_known = |piece| self.tokenizer.id_to_token(piece).is_some_and(|piece| !UNKNOWN.contains(&&*piece));
            matches!(pieces.get_ids(), [piece] if is_known(*piece))
        })
    }
}
