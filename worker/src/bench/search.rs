//! A search as the retriever makes it.

use jobs::{
    domain::retrieval::DEFAULT_LIMIT,
    kinds::retrieve::{CANDIDATES_PER_RESULT, PICKED_FROM_PER_RESULT, READ_PER_RESULT},
    ports::{Collection, Embedding, Found, Index, IndexError, Limits, Query, SearchFilter},
};

use crate::engines::index::LanceIndex;

/// Candidates that a search for five results asks the vectors and the words for.
pub const BY_VECTOR: usize = DEFAULT_LIMIT * PICKED_FROM_PER_RESULT;
pub const BY_WORDS: usize = DEFAULT_LIMIT * CANDIDATES_PER_RESULT;

/// Both legs at once, and what the best of them say.
pub async fn search(
    index: &LanceIndex,
    collection: Collection<'_>,
    (vector, words): (&Embedding, &str),
    filter: &SearchFilter,
) -> Result<(), IndexError> {
    let limits = Limits { by_vector: BY_VECTOR, by_text: BY_WORDS };
    let Found { by_vector, by_text } = index.search(collection, Query { text: words, vector, filter }, limits).await?;
    let best =
        by_vector.iter().zip(&by_text).flat_map(|(one, other)| [one, other]).take(DEFAULT_LIMIT * READ_PER_RESULT);
    let best = best.map(|hit| (hit.place(), hit.row)).collect();
    index.passages(collection, &best).await.map(drop)
}
