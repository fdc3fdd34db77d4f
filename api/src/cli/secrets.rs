//! `metachat secrets …`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use jobs::{
    domain::secret::Vault,
    store::{
        Database, Scope,
        secrets::{self, Column},
    },
};
use secrecy::{ExposeSecret, SecretString};

use super::{Failure, show};

/// Values looked at in one transaction.
const BATCH: i64 = 500;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Counts the values of every column by the key that they are sealed with.
    Status(Options),
    /// Seals anew, with the first key, what is sealed with another one. Processes go on meanwhile; may be interrupted and
    /// repeated.
    Rotate(Options),
}

#[derive(Debug, Args)]
pub(super) struct Options {
    /// As the api and the workers have it.
    #[arg(long, env = "SECRETS_KEYS", default_value = "", hide_env_values = true)]
    secrets_keys: SecretString,
    #[arg(long)]
    json: bool,
}

/// Values of one column that are sealed with one key.
#[derive(Debug)]
pub(super) struct Count {
    pub column: &'static str,
    /// Empty for values that name none.
    pub key: String,
    pub values: u64,
    pub state: &'static str,
}

const CURRENT: &str = "current";

pub(super) async fn run(command: Command, database: &Database) -> Result<(), Failure> {
    let (Command::Status(options) | Command::Rotate(options)) = &command;
    let vault: Vault = options
        .secrets_keys
        .expose_secret()
        .parse()
        .map_err(|problems| Failure::Usage(format!("SECRETS_KEYS: {problems}")))?;
    if let Command::Rotate(_) = &command {
        rotate(database, &vault).await?;
    }
    let counts = status(database, &vault).await?;
    show::secrets(&counts, options.json);
    let others: u64 = counts.iter().filter(|count| count.state != CURRENT).map(|count| count.values).sum();
    match command {
        Command::Rotate(_) if others > 0 => Err(Failure::Failed(format!(
            "{others} values are not sealed with `{}`: see above for what does not open; has every process been started with it \
             as the first key? Then run this again",
            vault.sealing_key()
        ))),
        _ => Ok(()),
    }
}

/// Walks every column once, each page a transaction of its own.
async fn rotate(database: &Database, vault: &Vault) -> Result<(), Failure> {
    for column in Column::ALL {
        let (mut after, mut looked_at, mut sealed_anew) = (None, 0, 0);
        loop {
            let mut tx = database.system().await?;
            let page = secrets::rotate(&mut tx, vault, column, after, BATCH).await?;
            tx.commit().await?;
            for (row, reason) in &page.unopened {
                eprintln!("{row}: {reason}");
            }
            looked_at += page.looked_at;
            sealed_anew += page.sealed_anew;
            let Some(last) = page.last else { break };
            after = Some(last);
            eprintln!("{}: {looked_at} looked at, {sealed_anew} sealed anew", column.name());
        }
    }
    Ok(())
}

async fn status(database: &Database, vault: &Vault) -> Result<Vec<Count>, Failure> {
    let mut counts = Vec::new();
    for column in Column::ALL {
        let (mut after, mut by_key) = (None, BTreeMap::<String, u64>::new());
        loop {
            let mut tx = database.system().await?;
            let page = secrets::count(&mut tx, column, after, BATCH).await?;
            tx.commit().await?;
            for (key, values) in page.by_key {
                *by_key.entry(key).or_default() += values;
            }
            let Some(last) = page.last else { break };
            after = Some(last);
        }
        counts.extend(by_key.into_iter().map(|(key, values)| {
            let state = match &key {
                key if key == vault.sealing_key() => CURRENT,
                key if vault.knows(key) => "old",
                key if key.is_empty() => "unreadable",
                _ => "unknown",
            };
            Count { column: column.name(), key, values, state }
        }));
    }
    Ok(counts)
}
