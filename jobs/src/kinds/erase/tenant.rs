//! A tenant: its vectors and originals, then its rows table by table, then its name.

use super::{BATCH, BATCHES, Step, erase_originals, note_vectors, vectors_left};
use crate::{
    domain::erasure::{self, Proof, Rows},
    kinds::{embed_document::EmbedDocument, reembed_document::ReembedDocument},
    queue::{Failure, Job, JobContext},
    store::{
        Scope, SystemTx, TenantTx,
        erasures::{self, Unfinished, tenant as rows},
    },
};

/// What its keys open is refused as long as they are there; they go with the tenant's own row.
const LAST: &str = "api_keys";

/// Kinds that store vectors.
const EMBEDDING: [&str; 2] = [EmbedDocument::KIND, ReembedDocument::KIND];

pub(super) async fn step(context: &JobContext, erasure: &Unfinished) -> Result<Step, Failure> {
    let begin = || TenantTx::begin(&context.runtime.database, Some(erasure.tenant));
    let mut budget = BATCHES;

    // Documents first: jobs that embed them see it and end, and only then is it certain that no vector follows.
    loop {
        let mut tx = begin().await?;
        let withdrawn = rows::withdraw_documents(&mut tx, BATCH).await?;
        let embedding = rows::unfinished(&mut tx, &EMBEDDING).await?;
        tx.commit().await?;
        match (withdrawn, embedding) {
            (0, 0) => break,
            (0, _) => return Ok(Step::Wait),
            _ if !spend(&mut budget) => return Ok(Step::More),
            _ => {}
        }
    }
    let text = note_vectors(context, erasure, None).await?;
    context.engines().index.erase_tenant(erasure.tenant).await?;
    erase_originals(context, erasure, None).await?;

    let mut tx = begin().await?;
    let tables = rows::tables(&mut tx).await?;
    tx.commit().await?;
    for table in tables.iter().filter(|table| *table != LAST) {
        loop {
            let mut tx = begin().await?;
            let deleted = rows::delete_some(&mut tx, table, BATCH as i32).await?;
            let mut removed = Rows::new();
            erasure::add(&mut removed, table, deleted);
            erasures::removed(tx.connection(), erasure.id, &removed).await?;
            tx.commit().await?;
            if deleted < BATCH as u64 {
                break;
            }
            if !spend(&mut budget) {
                return Ok(Step::More);
            }
        }
    }
    loop {
        let mut tx = SystemTx::begin(&context.runtime.database, None).await?;
        let forgotten = rows::forget_in_logs(&mut tx, erasure.tenant, BATCH).await?;
        tx.commit().await?;
        if forgotten < BATCH as u64 {
            break;
        }
        if !spend(&mut budget) {
            return Ok(Step::More);
        }
    }

    let mut tx = begin().await?;
    // Few, and what came since: they go with the tenant.
    let rest = rows::rows(&mut tx).await?;
    rows::delete(&mut tx, erasure.id).await?;
    let rest: Rows = rest.into_iter().filter(|(_, count)| *count > 0).collect();
    erasures::removed(tx.connection(), erasure.id, &rest).await?;
    tx.commit().await?;
    // What a job or an upload that ran meanwhile stored.
    context.engines().index.erase_tenant(erasure.tenant).await?;
    context.runtime.originals.erase(erasure.tenant, None).await?;

    let mut tx = begin().await?;
    let left = rows::rows(&mut tx).await?;
    tx.commit().await?;
    let vectors = vectors_left(context, erasure, None, &text).await?;
    let originals = context.runtime.originals.count(erasure.tenant, None).await?;
    Ok(Step::Looked(Proof { rows: left, vectors: Some(vectors), originals: Some(originals) }))
}

/// Takes one batch off what a run may do; returns false when nothing is left.
fn spend(budget: &mut u32) -> bool {
    *budget = budget.saturating_sub(1);
    *budget > 0
}
