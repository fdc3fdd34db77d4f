//! Two rankings become one.

use std::collections::HashMap;

/// Rank offset of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009).
const RRF_K: f32 = 60.0;

/// What one leg says of a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Ranked<'a> {
    pub chunk: &'a str,
    /// Cosine similarity to the query.
    pub similarity: f32,
    /// The leg's own score.
    pub score: f32,
}

/// How the legs are weighed against each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fusion {
    /// `share · similarity + (1 − share) · BM25 / best BM25`: a weighted sum of scores (Bruch, Gai and Ingber, TOIS 2023).
    Weighted { share: f32 },
    /// `Σ 1 / (60 + rank)`, which knows no scores.
    ReciprocalRank,
}

impl Fusion {
    /// The default, for a query of which the embedding model knows so much, 0 to 1: vectors say most in the languages
    /// that the model was made for, and little in others, whose words it takes to pieces. How the numbers were chosen stands
    /// in worker/README.md.
    pub fn for_familiarity(familiarity: f32) -> Self {
        const UNKNOWN: f32 = 0.4;
        const KNOWN: f32 = 0.6;
        let known = ((familiarity - 0.5) / 0.3).clamp(0.0, 1.0);
        Self::Weighted { share: UNKNOWN + (KNOWN - UNKNOWN) * known }
    }
}

/// The chunks of both legs, each once, best first, with their fused scores. Each leg comes best first.
pub fn fuse<'a>(fusion: Fusion, by_vector: &[Ranked<'a>], by_text: &[Ranked<'a>]) -> Vec<(&'a str, f32)> {
    let best_text = by_text.iter().map(|ranked| ranked.score).fold(f32::MIN_POSITIVE, f32::max);
    let mut scores: HashMap<&str, f32> = HashMap::new();
    for (leg, is_text) in [(by_vector, false), (by_text, true)] {
        for (position, ranked) in leg.iter().enumerate() {
            match fusion {
                Fusion::ReciprocalRank => {
                    *scores.entry(ranked.chunk).or_default() += 1.0 / (RRF_K + position as f32 + 1.0);
                }
                Fusion::Weighted { share } => {
                    let score = scores.entry(ranked.chunk).or_insert(share * ranked.similarity);
                    if is_text {
                        *score += (1.0 - share) * ranked.score / best_text;
                    }
                }
            }
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    fused.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(chunk: &str, similarity: f32, score: f32) -> Ranked<'_> {
        Ranked { chunk, similarity, score }
    }

    #[test]
    fn a_chunk_found_by_both_legs_wins() {
        let by_vector = [ranked("a", 0.6, 0.6), ranked("b", 0.5, 0.5)];
        let by_text = [ranked("c", 0.2, 9.0), ranked("b", 0.5, 8.0)];
        for fusion in [Fusion::ReciprocalRank, Fusion::Weighted { share: 0.5 }] {
            let fused = fuse(fusion, &by_vector, &by_text);
            assert_eq!((fused[0].0, fused.len()), ("b", 3), "{fusion:?}");
        }
        let fused = fuse(Fusion::Weighted { share: 0.5 }, &by_vector, &by_text);
        assert!((fused[0].1 - (0.25 + 4.0 / 9.0)).abs() < 1e-6);
        assert!((fused[1].1 - (0.1 + 0.5)).abs() < 1e-6);
        assert!(fuse(Fusion::for_familiarity(1.0), &[], &[]).is_empty());
    }

    #[test]
    fn vectors_count_more_where_the_model_knows_the_words() {
        let share = |familiarity| match Fusion::for_familiarity(familiarity) {
            Fusion::Weighted { share } => share,
            Fusion::ReciprocalRank => f32::NAN,
        };
        assert_eq!((share(0.0), share(0.5)), (0.4, 0.4));
        assert!(share(0.6) > share(0.5) && share(0.6) < share(0.8));
        assert!((share(0.8) - 0.6).abs() < 1e-6 && share(0.8) == share(1.0));
    }
}
