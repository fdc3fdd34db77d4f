//! A search as the retriever makes it.

use jobs::ports::{Collection, Embedding, Index, IndexError, SearchFilter};

use crate::engines::index::LanceIndex;

/// Candidates that a search for five results asks each leg for.
pub const CANDIDATES: usize = 100;

/// Both legs at once.
pub async fn search(
    index: &LanceIndex,
    collection: Collection<'_>,
    (vector, words): (&Embedding, &str),
    filter: &SearchFilter,
) -> Result<(), IndexError> {
    tokio::try_join!(
        index.search_vector(collection, vector, filter, CANDIDATES),
        index.search_text(collection, words, vector, filter, CANDIDATES)
    )?;
    Ok(())
}
