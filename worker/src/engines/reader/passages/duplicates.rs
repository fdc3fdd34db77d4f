//! Passages that say again what an earlier one of the document says.
//!
//! Found by MinHash over three-word shingles, in bands (A. Broder, "On the resemblance and containment of documents", 1997), and
//! then compared exactly.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use jobs::ports::Passage;

/// Words of a shingle.
const SHINGLE: usize = 3;
/// Two passages are alike when they share this many of a hundred shingles of both together.
const ALIKE: usize = 90;
/// Hashes of a passage: bands of some hashes each. Of two that share nine of ten shingles, all but one pair in a million agree in
/// a band.
const BANDS: usize = 8;
const ROWS: usize = 2;
/// Earlier passages that one is compared with, per band.
const COMPARED: usize = 4;

/// Without those that are alike an earlier one and hold no word that it does not hold, headings included: rows that differ in
/// a number stay.
pub fn removed(passages: Vec<Passage>) -> Vec<Passage> {
    let mut kept: Vec<Passage> = Vec::with_capacity(passages.len());
    let mut bands: HashMap<(usize, [u64; ROWS]), Vec<usize>> = HashMap::new();
    for passage in passages {
        let words = words(&passage);
        let shingles = shingles(&words);
        let keys: Vec<_> = (0..BANDS).map(|band| (band, signature(&shingles, band))).collect();
        let candidates: HashSet<usize> = keys
            .iter()
            .filter_map(|key| bands.get(key))
            .flat_map(|same| same.iter().rev().take(COMPARED))
            .copied()
            .collect();
        if candidates.iter().any(|earlier| is_said_by(&words, &shingles, &kept[*earlier])) {
            continue;
        }
        for key in keys {
            bands.entry(key).or_default().push(kept.len());
        }
        kept.push(passage);
    }
    kept
}

fn is_said_by(words: &[String], shingles: &HashSet<u64>, earlier: &Passage) -> bool {
    let earlier = self::words(earlier);
    let known: HashSet<&String> = earlier.iter().collect();
    let others = self::shingles(&earlier);
    let shared = shingles.intersection(&others).count();
    let all = shingles.len() + others.len() - shared;
    shared * 100 >= all * ALIKE && words.iter().all(|word| known.contains(word))
}

/// Lower-case words of headings and text. Signs are words too, so that only spaces, case and order are left out.
fn words(passage: &Passage) -> Vec<String> {
    let heading = passage.heading.as_deref().unwrap_or_default();
    heading.split_whitespace().chain(passage.text.split_whitespace()).map(str::to_lowercase).collect()
}

fn shingles(words: &[String]) -> HashSet<u64> {
    words.windows(SHINGLE.min(words.len().max(1))).map(|shingle| hash(&shingle)).collect()
}

/// The smallest hashes of a band.
fn signature(shingles: &HashSet<u64>, band: usize) -> [u64; ROWS] {
    std::array::from_fn(|row| {
        // An odd factor permutes the numbers of 64 bits.
        let factor = (hash(&(band, row)) | 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        shingles
            .iter()
            .map(|shingle| shingle.wrapping_mul(factor).rotate_left(32).wrapping_mul(factor))
            .min()
            .unwrap_or(0)
    })
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
