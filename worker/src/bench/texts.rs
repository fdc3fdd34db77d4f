//! Texts of a shop's knowledge base, the same in every run.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Words of a passage, fewest and most: 30 to 220 tokens.
const WORDS: std::ops::Range<usize> = 24..180;
/// Words that are put together from syllables, besides the common ones: names of things and people.
const NAMES: usize = 20_000;

const COMMON: [&str; 48] = [
    "the", "a", "of", "and", "to", "in", "is", "you", "your", "for", "with", "on", "within", "days", "order", "return",
    "refund", "delivery", "tent", "boots", "price", "water", "customer", "account", "payment", "card", "email",
    "address", "country", "shipping", "warranty", "repair", "size", "colour", "store", "open", "closed", "morning",
    "evening", "free", "cost", "paid", "item", "box", "label", "form", "support", "hour",
];
const SYLLABLES: [&str; 24] = [
    "ka", "ro", "mi", "ten", "sal", "ver", "lo", "pi", "dor", "nes", "ul", "gra", "fen", "tis", "bo", "qua", "shi",
    "mar", "el", "on", "zu", "par", "ix", "wen",
];

/// So many passages of different lengths.
pub fn passages(count: u32) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(11);
    (0..count)
        .map(|_| {
            let words = random.random_range(WORDS);
            sentence(&mut random, words)
        })
        .collect()
}

/// Short questions, all different.
pub fn questions(count: usize) -> Vec<String> {
    let mut random = StdRng::seed_from_u64(13);
    (0..count).map(|n| format!("{} {n}?", sentence(&mut random, 7))).collect()
}

/// So many words, two of three common ones.
pub fn sentence(random: &mut StdRng, words: usize) -> String {
    let words: Vec<String> = (0..words)
        .map(|_| match random.random_range(0..3) {
            // The smaller the number, the more often: as names in texts are.
            0 => name((random.random::<f64>().powi(3) * NAMES as f64) as usize),
            _ => COMMON[random.random_range(0..COMMON.len())].to_owned(),
        })
        .collect();
    words.join(" ")
}

fn name(mut number: usize) -> String {
    let mut name = String::new();
    for _ in 0..4 {
        name.push_str(SYLLABLES[number % SYLLABLES.len()]);
        number /= SYLLABLES.len();
    }
    name
}
