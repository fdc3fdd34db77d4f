//! Settings, read from the environment and checked before anything starts.
//!
//! Values are taken as texts, so that one start lists every problem, not just the first.

mod edge;

use std::{fmt::Display, net::SocketAddr, str::FromStr, time::Duration};

use clap::Args;
use jobs::{
    domain::{egress::EgressPolicy, secret::Vault},
    queue::LanesConfig,
    store::DatabaseConfig,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{cookies::Cookies, credentials};

pub use edge::{AdmissionConfig, ConnectionConfig, EdgeConfig, LimitsConfig};

/// Shortest admin key accepted.
const MIN_ADMIN_KEY: usize = 16;
/// Required by the lanes' configuration and used by workers only.
const LEASE: Duration = Duration::from_secs(30);

/// Settings as they stand in the environment.
#[derive(Debug, Args)]
pub struct Settings {
    #[command(flatten)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    redis: RedisSettings,
    #[command(flatten)]
    originals: OriginalsSettings,
    #[command(flatten)]
    http: HttpSettings,
    #[command(flatten)]
    access: AccessSettings,
    #[command(flatten)]
    edge: edge::EdgeSettings,
}

#[derive(Debug, Args)]
pub struct DatabaseSettings {
    /// postgres://… of the login that owns the schema.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Most connections to Postgres.
    #[arg(long, env = "DATABASE_CONNECTIONS", default_value = "20")]
    database_connections: String,
}

#[derive(Debug, Args)]
struct RedisSettings {
    /// redis://…
    #[arg(long, env = "REDIS_URL", hide_env_values = true)]
    redis_url: Option<String>,
    /// First part of every Redis key.
    #[arg(long, env = "REDIS_PREFIX", default_value = "mc")]
    redis_prefix: String,
}

#[derive(Debug, Args)]
struct OriginalsSettings {
    /// Where uploaded documents are kept: a directory, made when it is missing, or a URL; the same as the workers'.
    #[arg(long, env = "ORIGINALS_URI", default_value = ".metachat/originals")]
    originals_uri: String,
}

#[derive(Debug, Args)]
struct HttpSettings {
    /// Address to listen on.
    #[arg(long, env = "API_BIND", default_value = "127.0.0.1:8080")]
    api_bind: String,
    /// Time to finish requests after SIGTERM.
    #[arg(long, env = "SHUTDOWN_GRACE_SECONDS", default_value = "25")]
    shutdown_grace_seconds: String,
}

#[derive(Debug, Args)]
struct AccessSettings {
    /// Opens the admin API. Empty: only keys kept in Postgres do.
    #[arg(long, env = "ADMIN_KEY", default_value = "", hide_env_values = true)]
    admin_key: String,
    /// Whether the console's cookies are for https only.
    #[arg(long, env = "COOKIE_SECURE", default_value = "true")]
    cookie_secure: String,
    /// Signing secrets of the Stripe endpoint, comma-separated. Empty: Stripe's events are refused.
    #[arg(long, env = "STRIPE_WEBHOOK_SECRETS", default_value = "", hide_env_values = true)]
    stripe_webhook_secrets: String,
    /// Keys that seal secrets in the database, as id:base64 of 32 bytes, comma-separated: the first seals, all open.
    #[arg(long, env = "SECRETS_KEYS", default_value = "", hide_env_values = true)]
    secrets_keys: SecretString,
    /// Private networks that callbacks and webhooks may reach, as comma-separated CIDRs.
    #[arg(long, env = "EGRESS_ALLOW", default_value = "")]
    egress_allow: String,
}

/// Checked settings.
#[derive(Clone)]
pub struct Config {
    pub database: DatabaseConfig,
    pub lanes: LanesConfig,
    pub originals_uri: String,
    pub bind: SocketAddr,
    pub grace: Duration,
    /// SHA-256 of the admin key, where there is one.
    pub admin_hash: Option<[u8; 32]>,
    pub cookies: Cookies,
    pub stripe_secrets: Vec<String>,
    pub vault: Vault,
    pub egress: EgressPolicy,
    pub edge: EdgeConfig,
}

/// Everything that is wrong, one line each.
#[derive(Debug, Default)]
pub struct Findings(Vec<String>);

impl Findings {
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    /// Adds a problem of a setting; further ones follow from the first and are left out.
    pub fn add(&mut self, name: &str, problem: impl Display) {
        if !self.0.iter().any(|line| line.starts_with(&format!("{name}: "))) {
            self.0.push(format!("{name}: {problem}"));
        }
    }

    fn required(&mut self, name: &str, value: Option<String>) -> String {
        let value = value.unwrap_or_default();
        if value.trim().is_empty() {
            self.add(name, "is required");
        }
        value
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str, value: &str, fallback: T) -> T {
        value.trim().parse().unwrap_or_else(|error| {
            self.add(name, format!("`{value}` is not valid: {error}"));
            fallback
        })
    }
}

impl Settings {
    /// Checks everything; what cannot be used is listed in `findings` and stands in the result as a placeholder.
    pub fn read(self, findings: &mut Findings) -> Config {
        let AccessSettings { admin_key, cookie_secure, stripe_webhook_secrets, secrets_keys, egress_allow } =
            self.access;
        let admin_key = admin_key.trim();
        if !admin_key.is_empty() && admin_key.len() < MIN_ADMIN_KEY {
            findings.add("ADMIN_KEY", format!("must have at least {MIN_ADMIN_KEY} characters"));
        }
        let vault = secrets_keys.expose_secret().parse().unwrap_or_else(|problems| {
            findings.add("SECRETS_KEYS", problems);
            Vault::ephemeral()
        });
        let grace = findings.parsed("SHUTDOWN_GRACE_SECONDS", &self.http.shutdown_grace_seconds, 0_u16);
        let (url, prefix) = (findings.required("REDIS_URL", self.redis.redis_url), self.redis.redis_prefix);
        Config {
            database: self.database.read(findings),
            edge: self.edge.read(findings, url.clone(), prefix.clone()),
            lanes: LanesConfig { url, prefix, lease: LEASE },
            originals_uri: self.originals.originals_uri,
            bind: findings.parsed("API_BIND", &self.http.api_bind, SocketAddr::from(([127, 0, 0, 1], 0))),
            grace: Duration::from_secs(grace.into()),
            admin_hash: (!admin_key.is_empty()).then(|| credentials::hash(admin_key)),
            cookies: Cookies { secure: findings.parsed("COOKIE_SECURE", &cookie_secure, true) },
            stripe_secrets: list(&stripe_webhook_secrets),
            vault,
            egress: findings.parsed("EGRESS_ALLOW", &egress_allow, EgressPolicy::default()),
        }
    }
}

impl DatabaseSettings {
    pub fn read(self, findings: &mut Findings) -> DatabaseConfig {
        let url = findings.required("DATABASE_URL", self.database_url);
        let max_connections = findings.parsed("DATABASE_CONNECTIONS", &self.database_connections, 1_u32);
        if max_connections == 0 {
            findings.add("DATABASE_CONNECTIONS", "must be at least 1");
        }
        DatabaseConfig { url, max_connections }
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let arguments = [
            "test",
            "--database-url",
            "",
            "--redis-url",
            "redis://r",
            "--admin-key",
            "short",
            "--secrets-keys",
            "a:c2hvcnQ=",
            "--cookie-secure",
            "maybe",
            "--api-bind",
            "8080",
            "--database-connections",
            "many",
            "--shutdown-grace-seconds",
            "soon",
            "--egress-allow",
            "10.0.0.0/33",
            "--trusted-proxies",
            "10.0.0.0/8,proxy",
            "--https-mode",
            "always",
            "--cors-origins",
            "https://shop.example,*",
            "--rate-limit-local-percent",
            "101",
            "--api-max-connections",
            "0",
        ];
        let mut findings = Findings::default();
        Cli::parse_from(arguments).settings.read(&mut findings);
        let found: Vec<&str> = findings.0.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(
            found,
            [
                "ADMIN_KEY",
                "SECRETS_KEYS",
                "SHUTDOWN_GRACE_SECONDS",
                "DATABASE_URL",
                "DATABASE_CONNECTIONS",
                "API_MAX_CONNECTIONS",
                "RATE_LIMIT_LOCAL_PERCENT",
                "TRUSTED_PROXIES",
                "CORS_ORIGINS",
                "HTTPS_MODE",
                "API_BIND",
                "COOKIE_SECURE",
                "EGRESS_ALLOW"
            ]
        );
    }
}
