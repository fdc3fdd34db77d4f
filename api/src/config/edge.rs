//! Settings of the edge: connections, proxies, HTTPS, origins, rate limits, admission and the request log.

use std::time::Duration;

use clap::Args;
use jobs::domain::egress::Network;

use super::{Findings, list};
use crate::{cors::Origin, https::HttpsMode, proxies::Proxies};

#[derive(Debug, Args)]
pub struct EdgeSettings {
    /// Connections served at once; more wait to be accepted.
    #[arg(long, env = "API_MAX_CONNECTIONS", default_value = "10000")]
    api_max_connections: String,
    /// Time for a request's head, and for an idle connection's next request.
    #[arg(long, env = "API_HEADER_TIMEOUT_SECONDS", default_value = "30")]
    api_header_timeout_seconds: String,
    /// Longest silence within a request's body.
    #[arg(long, env = "API_BODY_TIMEOUT_SECONDS", default_value = "15")]
    api_body_timeout_seconds: String,
    /// Networks whose X-Forwarded-For and X-Forwarded-Proto are believed, as comma-separated CIDRs.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    trusted_proxies: String,
    /// off, redirect or require.
    #[arg(long, env = "HTTPS_MODE", default_value = "off")]
    https_mode: String,
    /// Origins whose scripts may call the API, comma-separated.
    #[arg(long, env = "CORS_ORIGINS", default_value = "")]
    cors_origins: String,
    /// Requests a minute from one address that no valid credential answers for.
    #[arg(long, env = "RATE_LIMIT_PER_ADDRESS", default_value = "120")]
    rate_limit_per_address: String,
    /// Longest wait for Redis' decision about a request.
    #[arg(long, env = "RATE_LIMIT_REDIS_TIMEOUT_MS", default_value = "50")]
    rate_limit_redis_timeout_ms: String,
    /// Percent of every limit that each process allows while Redis does not answer.
    #[arg(long, env = "RATE_LIMIT_LOCAL_PERCENT", default_value = "50")]
    rate_limit_local_percent: String,
    /// Unfinished jobs from which on no new work is accepted.
    #[arg(long, env = "ADMISSION_MAX_BACKLOG", default_value = "100000")]
    admission_max_backlog: String,
    /// Wait for a connection to Postgres from which on no new work is accepted.
    #[arg(long, env = "ADMISSION_MAX_POOL_WAIT_MS", default_value = "500")]
    admission_max_pool_wait_ms: String,
    /// Requests held for the log until they are written; more are left out.
    #[arg(long, env = "API_LOG_BUFFER", default_value = "10000")]
    api_log_buffer: String,
}

/// How connections are taken.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionConfig {
    pub most: usize,
    pub header_timeout: Duration,
}

#[derive(Debug, Clone)]
pub struct LimitsConfig {
    pub redis_url: String,
    pub redis_prefix: String,
    pub redis_timeout: Duration,
    /// Percent.
    pub local_share: u8,
    /// Requests a minute.
    pub per_address: u32,
}

#[derive(Debug, Clone, Copy)]
pub struct AdmissionConfig {
    /// Unfinished jobs.
    pub max_backlog: i64,
    pub max_pool_wait: Duration,
}

#[derive(Debug, Clone)]
pub struct EdgeConfig {
    pub connections: ConnectionConfig,
    pub body_timeout: Duration,
    pub proxies: Proxies,
    pub https: HttpsMode,
    pub origins: Vec<Origin>,
    pub limits: LimitsConfig,
    pub admission: AdmissionConfig,
    pub log_buffer: usize,
}

impl EdgeSettings {
    pub fn read(self, findings: &mut Findings, redis_url: String, redis_prefix: String) -> EdgeConfig {
        let connections = positive(findings, "API_MAX_CONNECTIONS", &self.api_max_connections);
        let header = positive(findings, "API_HEADER_TIMEOUT_SECONDS", &self.api_header_timeout_seconds);
        let body = positive(findings, "API_BODY_TIMEOUT_SECONDS", &self.api_body_timeout_seconds);
        let redis = positive(findings, "RATE_LIMIT_REDIS_TIMEOUT_MS", &self.rate_limit_redis_timeout_ms);
        let backlog = positive(findings, "ADMISSION_MAX_BACKLOG", &self.admission_max_backlog);
        let pool = positive(findings, "ADMISSION_MAX_POOL_WAIT_MS", &self.admission_max_pool_wait_ms);
        let buffer = positive(findings, "API_LOG_BUFFER", &self.api_log_buffer);
        let local_share = findings.parsed("RATE_LIMIT_LOCAL_PERCENT", &self.rate_limit_local_percent, 1_u8);
        if !(1..=100).contains(&local_share) {
            findings.add("RATE_LIMIT_LOCAL_PERCENT", "must be 1 to 100");
        }
        let networks = list(&self.trusted_proxies).into_iter().filter_map(|network| {
            let parsed = network.parse::<Network>();
            parsed.map_err(|error| findings.add("TRUSTED_PROXIES", error)).ok()
        });
        let proxies = Proxies::new(networks.collect());
        let origins = list(&self.cors_origins).into_iter().filter_map(|origin| {
            let parsed = origin.parse::<Origin>();
            parsed.map_err(|error| findings.add("CORS_ORIGINS", error)).ok()
        });
        let origins = origins.collect();
        EdgeConfig {
            connections: ConnectionConfig {
                most: connections as usize,
                header_timeout: Duration::from_secs(header.into()),
            },
            body_timeout: Duration::from_secs(body.into()),
            proxies,
            https: findings.parsed("HTTPS_MODE", &self.https_mode, HttpsMode::Off),
            origins,
            limits: LimitsConfig {
                redis_url,
                redis_prefix,
                redis_timeout: Duration::from_millis(redis.into()),
                local_share,
                per_address: positive(findings, "RATE_LIMIT_PER_ADDRESS", &self.rate_limit_per_address),
            },
            admission: AdmissionConfig {
                max_backlog: backlog.into(),
                max_pool_wait: Duration::from_millis(pool.into()),
            },
            log_buffer: buffer as usize,
        }
    }
}

fn positive(findings: &mut Findings, name: &str, value: &str) -> u32 {
    let number = findings.parsed(name, value, 1_u32);
    if number == 0 {
        findings.add(name, "must be at least 1");
    }
    number.max(1)
}
