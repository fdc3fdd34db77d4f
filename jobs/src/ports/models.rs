//! The embedding models that a worker has loaded.

use std::sync::Arc;

use super::{DocumentReader, EmbedError, Embedder};

/// A model, and the reader that cuts documents by its tokens.
#[derive(Clone)]
pub struct Model {
    pub embedder: Arc<dyn Embedder>,
    pub reader: Arc<dyn DocumentReader>,
}

/// The model that new tenants begin with, and the one that all are moving to, where there is one.
#[derive(Clone)]
pub struct Models {
    pub current: Model,
    pub next: Option<Model>,
}

impl Models {
    /// The model of this id; the current one for a tenant that has none yet.
    ///
    /// # Errors
    ///
    /// When this worker has not loaded it: vectors of two models say nothing of each other, so no other one will do.
    pub fn of(&self, id: Option<&str>) -> Result<&Model, EmbedError> {
        let Some(id) = id else { return Ok(&self.current) };
        self.all()
            .find(|model| model.embedder.model() == id)
            .ok_or_else(|| EmbedError(format!("this worker has not loaded the model {id}")))
    }

    pub fn all(&self) -> impl Iterator<Item = &Model> {
        [&self.current].into_iter().chain(&self.next)
    }
}
