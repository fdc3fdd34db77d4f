//! The ways of ranking that are compared.

use jobs::{
    domain::retrieval::Fusion,
    kinds::retrieve::{Legs, Reranked},
    ports::Hit,
};

/// Shares of the vector tried beside the default.
const SHARES: [f32; 7] = [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];

pub enum Configuration {
    Vector,
    Text,
    /// What searches do without a reranker, and with it.
    Default,
    Reranked,
    Fused(Fusion),
}

impl Configuration {
    pub fn all(weights: bool, reranked: bool) -> Vec<Self> {
        let mut all = vec![Self::Vector, Self::Text, Self::Fused(Fusion::ReciprocalRank), Self::Default];
        if reranked {
            all.push(Self::Reranked);
        }
        if weights {
            all.extend(SHARES.map(|share| Self::Fused(Fusion::Weighted { share })));
        }
        all
    }

    pub fn name(&self) -> String {
        match self {
            Self::Vector => "vector alone".to_owned(),
            Self::Text => "text alone".to_owned(),
            Self::Default => "hybrid (default)".to_owned(),
            Self::Reranked => "hybrid, reranked".to_owned(),
            Self::Fused(Fusion::ReciprocalRank) => "reciprocal rank".to_owned(),
            Self::Fused(Fusion::Weighted { share }) => format!("{share} × vector"),
        }
    }

    /// The ids of the best chunks.
    pub fn rank<'a>(&self, legs: &'a Legs, reranked: Option<&Reranked>, depth: usize) -> Vec<&'a str> {
        let leg = |hits: &'a [Hit]| hits.iter().take(depth).map(|hit| hit.chunk_id.as_str()).collect();
        let picked = |fusion, reranked| {
            let picked = legs.pick(fusion, reranked, depth).into_iter();
            picked.map(|picked| picked.hit.chunk_id.as_str()).collect()
        };
        match self {
            Self::Vector => leg(&legs.by_vector),
            Self::Text => leg(&legs.by_text),
            Self::Default => picked(legs.fusion(), None),
            Self::Reranked => picked(legs.fusion(), reranked),
            Self::Fused(fusion) => picked(*fusion, None),
        }
    }
}
