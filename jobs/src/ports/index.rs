//! The tenant's searchable chunks.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Embedding, Passage};
use crate::domain::ids::{DocumentId, TenantId};

/// A passage with its vector, as stored in the index.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub position: u32,
    pub text: String,
    pub heading: Option<String>,
    pub page: Option<u32>,
    pub tags: Vec<String>,
    pub language: Option<String>,
    pub vector: Embedding,
}

/// A chunk found by one leg of a search. What it says is read with [`Index::passages`], of the few that are wanted in the end.
#[derive(Debug, Clone)]
pub struct Hit {
    pub chunk_id: String,
    pub document: DocumentId,
    pub version: i32,
    pub position: u32,
    /// Where the index holds it now; it moves when the index is maintained.
    pub row: u64,
    /// Cosine similarity to the query's vector, −1 to 1, on both legs.
    pub similarity: f32,
    /// The leg's own score, larger is better: cosine similarity or BM25.
    pub score: f32,
}

impl Hit {
    pub fn place(&self) -> Place {
        Place { document: self.document, version: self.version, position: self.position }
    }

    /// The places before and after it, with the rows where they most likely are: a document's chunks are stored one after the other.
    pub fn beside(&self) -> [Option<(Place, u64)>; 2] {
        [-1, 1].map(|step| {
            let position = self.position.checked_add_signed(step)?;
            Some((Place { position, ..self.place() }, self.row.wrapping_add_signed(step.into())))
        })
    }
}

/// What one embedding model made of a tenant's documents: a table of its own, so that no query can reach another tenant's rows,
/// or compare vectors of two models.
#[derive(Debug, Clone, Copy)]
pub struct Collection<'a> {
    pub tenant: TenantId,
    /// As [`Embedder::model`](super::Embedder::model) says it.
    pub model: &'a str,
}

/// Versions of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    All,
    Below(i32),
    Only(i32),
}

/// Restricts a search before its limit is applied. Empty lists restrict nothing.
#[derive(Debug, Clone, Default)]
pub struct SearchFilter {
    pub documents: Vec<DocumentId>,
    /// Versions that may not be found.
    pub hidden: Vec<(DocumentId, i32)>,
    /// A chunk passes with any one of them.
    pub tags: Vec<String>,
    /// Languages of documents, as they were given; a document without one does not pass.
    pub languages: Vec<String>,
    /// Least cosine similarity to the query, on both legs.
    pub min_similarity: Option<f32>,
}

/// A chunk's place in a document, by which its neighbours are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    pub document: DocumentId,
    pub version: i32,
    pub position: u32,
}

impl Place {
    /// `{document}:{version}:{position}`: stable, so that a second run writes the same rows.
    pub fn chunk_id(self) -> String {
        format!("{}:{}:{}", self.document, self.version, self.position)
    }

    /// The place that an id names.
    pub fn parse(chunk_id: &str) -> Option<Self> {
        let mut parts = chunk_id.split(':');
        let place = Self {
            document: parts.next()?.parse().ok()?,
            version: parts.next()?.parse().ok()?,
            position: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(place)
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// What a person typed, without any syntax.
    pub text: &'a str,
    /// Its embedding.
    pub vector: &'a Embedding,
    pub filter: &'a SearchFilter,
}

/// Hits of each leg of a search, at most; a leg of which none are wanted is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    pub by_vector: usize,
    pub by_text: usize,
}

/// What both legs found, best first.
#[derive(Debug, Default)]
pub struct Found {
    /// By cosine similarity.
    pub by_vector: Vec<Hit>,
    /// By full-text score.
    pub by_text: Vec<Hit>,
}

/// The index failed; another attempt may succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("search index: {0}")]
pub struct IndexError(pub String);

/// The tenants' chunks, by collection.
#[async_trait]
pub trait Index: Send + Sync {
    /// Stores chunks of a version beside the others. Repeating it changes nothing.
    async fn add(
        &self,
        collection: Collection<'_>,
        document: DocumentId,
        version: i32,
        chunks: Vec<Chunk>,
    ) -> Result<(), IndexError>;

    /// Removes versions of a document. Returns the rows removed.
    async fn remove(
        &self,
        collection: Collection<'_>,
        document: DocumentId,
        versions: Versions,
    ) -> Result<u64, IndexError>;

    /// Rows of a collection.
    async fn rows(&self, collection: Collection<'_>) -> Result<u64, IndexError>;

    /// How many rows there are of a document; of the whole tenant with `None`, whatever model made them.
    async fn count(&self, tenant: TenantId, document: Option<DocumentId>) -> Result<u64, IndexError>;

    /// Removes a document for good: its rows, and the files and index entries that still held them.
    async fn erase_document(&self, tenant: TenantId, document: DocumentId) -> Result<(), IndexError>;

    /// Removes all that the index holds of a tenant, whatever model made it.
    async fn erase_tenant(&self, tenant: TenantId) -> Result<(), IndexError>;

    /// Removes the tenant's collections of all models but these; returns how many.
    async fn keep_models(&self, tenant: TenantId, models: &[&str]) -> Result<usize, IndexError>;

    /// Keeps searches of a collection fast after many small changes. Does nothing where nothing is to do.
    async fn maintain(&self, collection: Collection<'_>) -> Result<(), IndexError>;

    /// Both legs of a search, at once and in one state of the collection.
    async fn search(&self, collection: Collection<'_>, query: Query<'_>, limits: Limits) -> Result<Found, IndexError>;

    /// The nearest chunks by cosine similarity, best first.
    async fn search_vector(
        &self,
        collection: Collection<'_>,
        vector: &Embedding,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let query = Query { text: "", vector, filter };
        let limits = Limits { by_vector: limit, ..Limits::default() };
        Ok(self.search(collection, query, limits).await?.by_vector)
    }

    /// The best chunks by full-text score, best first. `vector` is the query's, for the similarity of each hit.
    async fn search_text(
        &self,
        collection: Collection<'_>,
        text: &str,
        vector: &Embedding,
        filter: &SearchFilter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        let query = Query { text, vector, filter };
        let limits = Limits { by_text: limit, ..Limits::default() };
        Ok(self.search(collection, query, limits).await?.by_text)
    }

    /// The passages at these places; places that hold none are left out. One that is at the row given with it is found without
    /// looking for its place; any number will do otherwise.
    async fn passages(
        &self,
        collection: Collection<'_>,
        wanted: &HashMap<Place, u64>,
    ) -> Result<HashMap<Place, Passage>, IndexError>;
}
