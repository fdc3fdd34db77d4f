//! A document: its vectors, its original, then its rows.

use super::{Step, erase_originals, note_vectors, vectors_left};
use crate::{
    domain::{
        erasure::{Proof, Rows},
        ids::DocumentId,
    },
    kinds::{embed_document::EmbedDocument, reembed_document::ReembedDocument},
    queue::{Failure, Job, JobContext},
    store::{
        Scope, TenantTx,
        erasures::{self, Unfinished, document as rows},
    },
};

/// Kinds that store vectors.
const EMBEDDING: [&str; 2] = [EmbedDocument::KIND, ReembedDocument::KIND];

pub(super) async fn step(context: &JobContext, erasure: &Unfinished, document: DocumentId) -> Result<Step, Failure> {
    let database = &context.runtime.database;
    let mut tx = TenantTx::begin(database, Some(erasure.tenant)).await?;
    let embedding = rows::unfinished(&mut tx, document, &EMBEDDING).await?;
    tx.commit().await?;
    // One that runs would store its vectors after these are gone; it sees that the document is hidden, and ends.
    if embedding > 0 {
        return Ok(Step::Wait);
    }
    let text = note_vectors(context, erasure, Some(document)).await?;
    context.engines().index.erase_document(erasure.tenant, document).await?;
    erase_originals(context, erasure, Some(document)).await?;
    let mut removed = Rows::new();
    let mut tx = TenantTx::begin(database, Some(erasure.tenant)).await?;
    rows::delete(&mut tx, document, &mut removed).await?;
    erasures::removed(tx.connection(), erasure.id, &removed).await?;
    tx.commit().await?;

    let mut tx = TenantTx::begin(database, Some(erasure.tenant)).await?;
    let left = rows::left(&mut tx, document).await?;
    tx.commit().await?;
    let vectors = vectors_left(context, erasure, Some(document), &text).await?;
    let originals = context.runtime.originals.count(erasure.tenant, Some(document)).await?;
    Ok(Step::Looked(Proof { rows: left, vectors: Some(vectors), originals: Some(originals) }))
}
