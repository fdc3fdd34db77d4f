//! Near-identical passages do not crowd out the others.

use std::collections::HashSet;

/// Share of common words, of all words of both, at which two passages say the same.
const SAME: f32 = 0.8;

/// The positions of texts that come best first, in an order in which those that say nothing new stand last: texts of nearly
/// the same words as one before them. Nothing is left out, so few distinct passages still make a full list. Also returns how many
/// are distinct, `wanted` at most: it looks at no more texts than it takes to find these.
pub fn distinct_first(texts: &[&str], wanted: usize) -> (Vec<usize>, usize) {
    let mut distinct: Vec<(usize, HashSet<String>)> = Vec::new();
    let mut repeated = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        if distinct.len() == wanted {
            repeated.extend(position..texts.len());
            break;
        }
        let words = words(text);
        match distinct.iter().any(|(_, other)| overlap(&words, other) >= SAME) {
            true => repeated.push(position),
            false => distinct.push((position, words)),
        }
    }
    let count = distinct.len();
    (distinct.into_iter().map(|(position, _)| position).chain(repeated).collect(), count)
}

fn words(text: &str) -> HashSet<String> {
    text.split(|mark: char| !mark.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Jaccard's index; nothing is like a text without words.
fn overlap(one: &HashSet<String>, other: &HashSet<String>) -> f32 {
    let common = one.intersection(other).count();
    let all = one.len() + other.len() - common;
    if all == 0 { 0.0 } else { common as f32 / all as f32 }
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
