//! A worker's settings, one small struct per concern; each field names its variable.

use std::{collections::HashMap, net::SocketAddr, str::FromStr, time::Duration};

use anyhow::Context;
use jobs::{
    domain::{secret::Vault, stripe::PriceList},
    queue::{LanesConfig, Retention},
    store::{DatabaseConfig, Originals},
};
use secrecy::{ExposeSecret, SecretString};

use crate::engines;

#[derive(Debug, Clone, clap::Args)]
pub struct WorkerConfig {
    #[command(flatten)]
    pub database: DatabaseArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub secrets: SecretsArgs,
    #[command(flatten)]
    pub originals: OriginalsArgs,
    #[command(flatten)]
    pub process: ProcessArgs,
    #[command(flatten)]
    pub billing: BillingArgs,
    #[command(flatten)]
    pub engines: engines::Config,
}

#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseArgs {
    /// Postgres login that may switch to the roles metachat_app and metachat_system.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Most connections of the application role.
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,
}

impl From<DatabaseArgs> for DatabaseConfig {
    fn from(args: DatabaseArgs) -> Self {
        Self { url: args.database_url, max_connections: args.database_connections }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct RedisArgs {
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    pub redis_url: String,
    /// Begins every key.
    #[arg(long, env = "REDIS_PREFIX", default_value = "mc")]
    pub redis_prefix: String,
    /// How long a claimed job belongs to a worker that gives no sign of life.
    #[arg(long, env = "LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub lease_seconds: u64,
}

impl From<RedisArgs> for LanesConfig {
    fn from(args: RedisArgs) -> Self {
        Self { url: args.redis_url, prefix: args.redis_prefix, lease: Duration::from_secs(args.lease_seconds) }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct SecretsArgs {
    /// Keys that open what the database holds sealed, as id:base64 of 32 bytes, comma-separated.
    #[arg(long, env = "SECRETS_KEYS", hide_env_values = true)]
    pub secrets_keys: SecretString,
}

impl SecretsArgs {
    /// Fails with everything that is wrong with the keys. Not a parser of the argument's, which would print them.
    pub fn vault(&self) -> anyhow::Result<Vault> {
        self.secrets_keys.expose_secret().parse().context("SECRETS_KEYS")
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct OriginalsArgs {
    /// Where uploaded documents are kept: a directory, made when it is missing, or a URL; the same as the api's.
    #[arg(long, env = "ORIGINALS_URI", default_value = ".metachat/originals")]
    pub originals_uri: String,
}

impl OriginalsArgs {
    /// Opens it. The environment holds the settings of object stores.
    pub fn connect(&self) -> anyhow::Result<Originals> {
        Originals::connect(&self.originals_uri, std::env::vars())
            .map_err(|problem| anyhow::anyhow!("ORIGINALS_URI {problem}"))
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct ProcessArgs {
    /// Where probes and metrics are served.
    #[arg(long, env = "WORKER_BIND", default_value = "127.0.0.1:9101")]
    pub worker_bind: SocketAddr,
    /// Jobs run at once, by kind, where it should differ from the kind's own: `complete=200,retrieve=4`.
    #[arg(long, env = "LANE_SLOTS", default_value = "")]
    pub lane_slots: Slots,
    /// How long running jobs may take to finish after SIGTERM.
    #[arg(long, env = "SHUTDOWN_GRACE_SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub shutdown_grace_seconds: u64,
    /// Tries to deliver one event to one receiver.
    #[arg(long, env = "WEBHOOK_RETRY_MAX_ATTEMPTS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub webhook_retry_max_attempts: u32,
    /// Days that the history of finished jobs, which timelines are made from, is kept.
    #[arg(long, env = "JOB_HISTORY_RETENTION_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub job_history_retention_days: u32,
    /// Months, besides the present one, that messages are kept with all that hangs on them; 0 keeps them for ever.
    #[arg(long, env = "MESSAGE_RETENTION_MONTHS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=1200))]
    pub message_retention_months: u32,
    /// Months, besides the present one, that the API's log is kept; 0 keeps it for ever.
    #[arg(long, env = "API_LOG_RETENTION_MONTHS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=1200))]
    pub api_log_retention_months: u32,
}

impl From<&ProcessArgs> for Retention {
    fn from(args: &ProcessArgs) -> Self {
        Self {
            history_days: args.job_history_retention_days,
            message_months: args.message_retention_months,
            api_log_months: args.api_log_retention_months,
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct BillingArgs {
    /// Stripe price ids that buy the starter plan, comma-separated.
    #[arg(long, env = "STRIPE_PRICE_STARTER", value_delimiter = ',')]
    pub stripe_price_starter: Vec<String>,
    /// Stripe price ids that buy the pro plan, comma-separated.
    #[arg(long, env = "STRIPE_PRICE_PRO", value_delimiter = ',')]
    pub stripe_price_pro: Vec<String>,
}

impl From<BillingArgs> for PriceList {
    fn from(args: BillingArgs) -> Self {
        Self { starter: args.stripe_price_starter, pro: args.stripe_price_pro }
    }
}

/// Slots by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots(HashMap<String, usize>);

impl Slots {
    pub fn of(&self, kind: &str, usual: usize) -> usize {
        self.0.get(kind).copied().unwrap_or(usual)
    }
}

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = jobs::kinds::names();
        let mut slots = HashMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (kind, count) = entry.split_once('=').ok_or_else(|| format!("`{entry}` is not kind=number"))?;
            if !kinds.contains(&kind) {
                return Err(format!("unknown kind `{kind}`; known are {}", kinds.join(", ")));
            }
            match count.parse() {
                Ok(count @ 1..=10_000) => slots.insert(kind.to_owned(), count),
                _ => return Err(format!("slots of {kind} must be 1 to 10000, not `{count}`")),
            };
        }
        Ok(Self(slots))
    }
}
