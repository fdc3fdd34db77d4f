//! Rate limits: of a tenant, of one of its keys, of its submissions, and of an address nobody answers for.
//!
//! A request is charged to all of its limits or to none, in one round trip to Redis. When Redis is away or slow each
//! process decides alone, with its share of every limit: never open. A refused request has changed nothing.

mod api_calls;
mod gcra;
mod guard;
mod headers;
mod local_gate;
mod shared_gate;

use std::time::Duration;

use axum::{
    extract::MatchedPath,
    http::{Method, request::Parts},
};
use jobs::{
    domain::ids::ApiKeyId,
    store::{Database, tenants::Tenant},
};
use redis::RedisError;

use crate::{
    config::LimitsConfig,
    facts::Facts,
    problem::{Kind, Problem},
    state::Shared,
};

pub use api_calls::ApiCalls;
pub use guard::guard;

use gcra::{Judged, Rate};
use local_gate::LocalGate;
use shared_gate::SharedGate;

/// Percent of a tenant's requests a minute that one of its keys may use, so that a key that runs wild does not lock the
/// others out.
const KEY_SHARE: i64 = 80;
/// Where messages are submitted, which is a limit of its own.
const SUBMISSION: &str = "/v1/messages";
/// Stays readable when the month's calls are used up, and is not one of them.
const USAGE: &str = "/v1/usage";

/// One limit of a request.
#[derive(Debug, Clone)]
struct Limit {
    /// Its name in the headers.
    policy: &'static str,
    key: String,
    per_minute: i64,
}

impl Limit {
    fn rate(&self) -> Rate {
        Rate::per_minute(self.per_minute)
    }

    fn share(&self, percent: i64) -> Self {
        Self { per_minute: share(self.per_minute, percent), ..self.clone() }
    }

    fn standing(&self, judged: Judged) -> Standing {
        let micros = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        Standing {
            policy: self.policy,
            quota: self.per_minute,
            left: judged.left.min(self.per_minute),
            full_after: micros(judged.full_after),
            wait: micros(judged.wait),
        }
    }
}

/// At least one, unless the whole is none.
fn share(whole: i64, percent: i64) -> i64 {
    (whole.saturating_mul(percent) / 100).max(whole.clamp(0, 1))
}

/// Where a limit stands after a request was charged to it, or refused by it or by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    policy: &'static str,
    /// Requests a minute.
    quota: i64,
    left: i64,
    full_after: Duration,
    /// Until a request passes; nothing when it does now.
    wait: Duration,
}

impl Standing {
    fn passes(&self) -> bool {
        self.wait.is_zero()
    }
}

/// All limits of the process.
pub struct Limits {
    shared: SharedGate,
    local: LocalGate,
    per_address: i64,
    pub calls: ApiCalls,
}

impl Limits {
    pub fn connect(config: &LimitsConfig, database: Database) -> Result<Self, RedisError> {
        Ok(Self {
            shared: SharedGate::connect(&config.redis_url, &config.redis_prefix, config.redis_timeout)?,
            local: LocalGate::new(config.local_share),
            per_address: config.per_address.into(),
            calls: ApiCalls::new(database),
        })
    }

    /// Charges a request to the address it comes from.
    async fn charge_address(&self, facts: &Facts) -> Result<(), Problem> {
        let key = format!("{{{}}}", facts.client().network());
        let limit = Limit { policy: "address", key, per_minute: self.per_address };
        self.charge(facts, &[limit]).await
    }

    async fn charge_tenant(
        &self,
        facts: &Facts,
        tenant: &Tenant,
        key: Option<ApiKeyId>,
        submits: bool,
    ) -> Result<(), Problem> {
        let (tag, limits) = (tenant.id.uuid().simple(), tenant.limits);
        let limit = |policy, name: &str, per_minute| Limit { policy, key: format!("{{{tag}}}:{name}"), per_minute };
        let mut charged = vec![limit("tenant", "requests", limits.requests_per_minute)];
        if let Some(key) = key {
            let per_minute = share(limits.requests_per_minute, KEY_SHARE);
            charged.push(limit("key", &key.uuid().simple().to_string(), per_minute));
        }
        if submits {
            charged.push(limit("messages", "messages", limits.messages_per_minute));
        }
        self.charge(facts, &charged).await
    }

    async fn charge(&self, facts: &Facts, limits: &[Limit]) -> Result<(), Problem> {
        let (gate, standings) = match (limits.iter().any(|limit| limit.per_minute == 0), limits) {
            (true, _) => ("none", limits.iter().map(nothing_passes).collect()),
            (false, limits) => match self.shared.decide(limits).await {
                Some(standings) => ("redis", standings),
                None => ("process", self.local.decide(limits)),
            },
        };
        let refused: Vec<Standing> = standings.iter().filter(|standing| !standing.passes()).cloned().collect();
        let outcome = if refused.is_empty() { "passed" } else { "refused" };
        metrics::counter!("metachat_rate_limit_decisions_total", "gate" => gate, "outcome" => outcome).increment(1);
        facts.charge(standings);
        match refused.iter().max_by_key(|standing| standing.wait) {
            None => Ok(()),
            Some(longest) => Err(too_many(&refused, longest)),
        }
    }
}

/// A limit of none. Nothing is counted, so nothing is asked.
fn nothing_passes(limit: &Limit) -> Standing {
    let wait = if limit.per_minute == 0 { 60_000_000 } else { 0 };
    limit.standing(Judged { left: limit.per_minute, full_after: 0, wait })
}

fn too_many(refused: &[Standing], longest: &Standing) -> Problem {
    for standing in refused {
        metrics::counter!("metachat_rate_limit_refused_total", "policy" => standing.policy).increment(1);
    }
    let policies: Vec<&str> = refused.iter().map(|standing| standing.policy).collect();
    Problem::new(Kind::RateLimited)
        .detail(format!("The limit `{}` of {} requests a minute is reached.", longest.policy, longest.quota))
        .with("violated-policies", policies)
        .retry_after(longest.wait)
}

/// Counts a tenant's request against its limits and its month, before anything is accepted.
pub async fn admit(parts: &Parts, state: &Shared, tenant: &Tenant, key: Option<ApiKeyId>) -> Result<(), Problem> {
    let facts = Facts::of(&parts.extensions);
    facts.identify(tenant.id, key);
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let submits = parts.method == Method::POST && route == SUBMISSION;
    state.limits.charge_tenant(&facts, tenant, key, submits).await?;
    match route {
        USAGE => Ok(()),
        _ => state.limits.calls.count(tenant.id, tenant.limits.api_calls).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down_and_never_nothing() {
        assert_eq!(share(120, 80), 96);
        assert_eq!(share(1, 80), 1);
        assert_eq!(share(0, 80), 0);
        assert_eq!(share(i64::MAX, 80), i64::MAX / 100);
    }

    #[test]
    fn a_limit_of_none_refuses_for_a_minute() {
        let limit = |per_minute| Limit { policy: "messages", key: "k".into(), per_minute };
        assert!(!nothing_passes(&limit(0)).passes());
        assert!(nothing_passes(&limit(5)).passes());
    }
}
