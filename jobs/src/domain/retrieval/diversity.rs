//! Near-identical passages do not crowd out the others.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Share of common words, of all words of both, at which two passages say the same.
const SAME: f32 = 0.8;

/// The positions of texts that come best first, in an order in which those that say nothing new stand last: texts of nearly
/// the same words as one before them. Nothing is left out, so few distinct passages still make a full list. Also returns how many
/// are distinct, `wanted` at most: it looks at no more texts than it takes to find these.
pub fn distinct_first(texts: &[&str], wanted: usize) -> (Vec<usize>, usize) {
    let mut distinct: Vec<(usize, Vec<u64>)> = Vec::new();
    let mut repeated = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        if distinct.len() == wanted {
            repeated.extend(position..texts.len());
            break;
        }
        let words = words(text);
        match distinct.iter().any(|(_, other)| same(&words, other)) {
            true => repeated.push(position),
            false => distinct.push((position, words)),
        }
    }
    let count = distinct.len();
    (distinct.into_iter().map(|(position, _)| position).chain(repeated).collect(), count)
}

/// Hashes of a text's words, each once, in order.
fn words(text: &str) -> Vec<u64> {
    let hash = |word: &str| {
        let mut hasher = DefaultHasher::new();
        word.hash(&mut hasher);
        hasher.finish()
    };
    let lower = text.to_lowercase();
    let words = lower.split(|mark: char| !mark.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut hashes: Vec<u64> = words.map(hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Whether Jaccard's index reaches [`SAME`]; nothing is like a text without words.
fn same(one: &[u64], other: &[u64]) -> bool {
    let (fewer, more) = if one.len() < other.len() { (one, other) } else { (other, one) };
    // It is never more than the ratio of their lengths, which tells most texts apart.
    if fewer.is_empty() || (fewer.len() as f32) < SAME * more.len() as f32 {
        return false;
    }
    let common = fewer.iter().filter(|word| more.binary_search(word).is_ok()).count();
    common as f32 >= SAME * (fewer.len() + more.len() - common) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_another_stands_last() {
        let texts = [
            "Returns are free within 30 days of delivery, in the box.",
            "Returns are FREE within 30 days of the delivery in the box!",
            "Refunds take five working days.",
            "Returns are free within 30 days of delivery, in the box.",
            "Shipping is free.",
            "",
            "",
        ];
        assert_eq!(distinct_first(&texts, 5), (vec![0, 2, 4, 5, 6, 1, 3], 5));
        assert_eq!(distinct_first(&texts, 2), (vec![0, 2, 1, 3, 4, 5, 6], 2));
        assert_eq!(distinct_first(&texts[..4], 5), (vec![0, 2, 1, 3], 2));
        assert_eq!(distinct_first(&[], 5), (vec![], 0));
    }
}
