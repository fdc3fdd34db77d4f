//! A contact: its conversations, one after the other.

use super::{BATCH, BATCHES, Step};
use crate::{
    domain::erasure::{Proof, Rows},
    queue::{Failure, JobContext},
    store::{
        Scope, TenantTx, conversations,
        erasures::{self, Unfinished, contact as rows},
    },
};

pub(super) async fn step(context: &JobContext, erasure: &Unfinished, contact: &str) -> Result<Step, Failure> {
    let until = erasure.requested_at;
    for _ in 0..BATCHES {
        let mut tx = TenantTx::begin(&context.runtime.database, Some(erasure.tenant)).await?;
        let Some(conversation) = rows::next_conversation(&mut tx, contact, until).await? else {
            let mut found = erasures::all_found(tx.connection(), erasure.id).await?;
            let left = rows::conversations_left(&mut tx, contact, until).await?;
            *found.entry("conversations".to_owned()).or_default() += left;
            tx.commit().await?;
            return Ok(Step::Looked(Proof { rows: found, vectors: None, originals: None }));
        };
        // Nobody adds a message while this is held.
        conversations::lock(&mut tx, conversation).await?;
        let mut removed = Rows::new();
        if !rows::delete_messages(&mut tx, conversation, BATCH, &mut removed).await? {
            rows::delete_conversation(&mut tx, conversation, &mut removed).await?;
            let left = rows::left(&mut tx, conversation).await?;
            erasures::found(tx.connection(), erasure.id, &left).await?;
        }
        erasures::removed(tx.connection(), erasure.id, &removed).await?;
        tx.commit().await?;
    }
    Ok(Step::More)
}
