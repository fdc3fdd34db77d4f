//! `metachat index …`

use clap::Subcommand;
use jobs::{
    domain::ids::TenantId,
    kinds::reembed_document::ReembedDocument,
    queue::work,
    store::{Database, Scope, SystemTx, embedding_models, knowledge},
};

use super::{Failure, show};

/// Documents whose jobs are added in one transaction.
const BATCH: i64 = 500;
/// Tenants read at a time.
const PAGE: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Has every searchable document embedded again, by the model that its tenant's searches read. Searches go on meanwhile.
    Rebuild {
        /// Only the documents of this tenant.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Has searches move to another model, which the workers have as EMBEDDING_NEXT_MODEL_DIR: its tables are built beside those
    /// that searches read, and each tenant switches at once when its own is whole. Run again, it goes on, and takes in tenants
    /// that are new.
    Reembed {
        /// The model's name, that of its directory, or its id as `metachat index models` shows it.
        #[arg(long)]
        model: String,
        /// Only this tenant.
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// The models that workers have loaded, who searches them, and how far each is that is being built.
    Models {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

/// Adds the jobs; the workers do them in a lane that is fair to all tenants.
pub(super) async fn run(command: Command, database: &Database) -> Result<(), Failure> {
    match command {
        Command::Rebuild { tenant } => rebuild(database, tenant).await,
        Command::Reembed { model, tenant } => reembed(database, &model, tenant).await,
        Command::Models { json } => {
            let mut tx: SystemTx = database.system().await?;
            let standings = embedding_models::standings(tx.connection()).await?;
            tx.commit().await?;
            show::models(&standings, json);
            Ok(())
        }
    }
}

async fn rebuild(database: &Database, tenant: Option<TenantId>) -> Result<(), Failure> {
    let mut after = None;
    let mut documents = 0;
    loop {
        let mut tx: SystemTx = database.system().await?;
        let found = knowledge::searchable(tx.connection(), tenant, after, BATCH).await?;
        after = found.last().map(|last| (last.tenant, last.document));
        documents += found.len();
        for knowledge::Searchable { tenant, document, version, model } in found {
            work::leave_to_relay(&mut tx, &ReembedDocument { tenant, document, version, model, done: 0 }).await?;
        }
        tx.commit().await?;
        if after.is_none() {
            show::print(&format!("{documents} documents will be embedded again"));
            return Ok(());
        }
    }
}

async fn reembed(database: &Database, model: &str, tenant: Option<TenantId>) -> Result<(), Failure> {
    let mut tx: SystemTx = database.system().await?;
    let known = embedding_models::resolve(tx.connection(), model).await?;
    tx.commit().await?;
    let model = known.ok_or_else(|| {
        Failure::Failed(format!(
            "no worker has loaded a model {model}: set EMBEDDING_NEXT_MODEL_DIR and start the workers"
        ))
    })?;
    let (mut tenants, mut documents, mut after) = (0, 0, None);
    loop {
        let mut tx: SystemTx = database.system().await?;
        let found = embedding_models::elsewhere(tx.connection(), &model, tenant, after, PAGE).await?;
        tx.commit().await?;
        for tenant in &found {
            documents += reembed_tenant(database, &model, *tenant).await?;
            tenants += 1;
        }
        match found.last() {
            Some(last) => after = Some(*last),
            None => break,
        }
    }
    show::print(&format!("{tenants} tenants move to {model}: {documents} documents will be embedded"));
    Ok(())
}

/// From the first commit on, documents that become searchable go to the model by themselves; those that were are taken in here.
async fn reembed_tenant(database: &Database, model: &str, tenant: TenantId) -> Result<usize, Failure> {
    let mut tx: SystemTx = database.system().await?;
    embedding_models::begin(tx.connection(), tenant, model).await?;
    tx.commit().await?;
    let (mut after, mut documents) = (None, 0);
    loop {
        let mut tx: SystemTx = database.system().await?;
        let found = knowledge::not_held(tx.connection(), tenant, model, after, BATCH).await?;
        for (document, version) in &found {
            let (document, version, model) = (*document, *version, model.to_owned());
            work::leave_to_relay(&mut tx, &ReembedDocument { tenant, document, version, model, done: 0 }).await?;
        }
        documents += found.len();
        match found.last() {
            Some((last, _)) => after = Some(*last),
            None => {
                // One without a searchable document has nothing to wait for.
                embedding_models::switch_when_whole(tx.connection(), tenant, model).await?;
                tx.commit().await?;
                return Ok(documents);
            }
        }
        tx.commit().await?;
    }
}
