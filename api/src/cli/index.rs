//! `metachat index …`

use clap::Subcommand;
use jobs::{
    domain::ids::TenantId,
    kinds::embed_document::EmbedDocument,
    queue::work,
    store::{Database, Scope, SystemTx, knowledge},
};

use super::{Failure, show};

/// Documents whose jobs are added in one transaction.
const BATCH: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Has every searchable document read and embedded again, by the model the workers have. Searches go on meanwhile.
    Rebuild {
        /// Only the documents of this tenant.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
}

/// Adds the jobs; the workers do them as they do those of uploads, in the lane that is fair to all tenants.
pub(super) async fn run(command: Command, database: &Database) -> Result<(), Failure> {
    let Command::Rebuild { tenant } = command;
    let mut after = None;
    let mut documents = 0;
    loop {
        let mut tx: SystemTx = database.system().await?;
        let found = knowledge::searchable(tx.connection(), tenant, after, BATCH).await?;
        for found in &found {
            let job = EmbedDocument { tenant: found.tenant, document: found.document, version: found.version };
            work::leave_to_relay(&mut tx, &job).await?;
        }
        let ids: Vec<_> = found.iter().map(|found| found.document).collect();
        knowledge::begin_again(tx.connection(), &ids).await?;
        tx.commit().await?;
        documents += found.len();
        match found.last() {
            Some(last) => after = Some((last.tenant, last.document)),
            None => break,
        }
    }
    show::print(&format!("{documents} documents will be embedded again"));
    Ok(())
}
