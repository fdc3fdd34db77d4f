//! What a run does, as a small file says it.
//!
//! Loads run side by side, each with tenants of its own: a noisy neighbour, or documents beside a chat, are two loads. Unknown
//! fields and impossible values are refused, with the file's name.

mod shipped;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Deserializer};

use super::arrivals::Spread;
use crate::duration;
pub use shipped::{NAMES, shipped};

/// Longest run, and most arrivals of one: a typing error shall not load a machine for a day.
const LONGEST_RUN: Duration = Duration::from_secs(6 * 3600);
const MOST_TENANTS: u32 = 1_000;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub description: String,
    /// Settings that the product needs for this scenario; `loadtest environment` prints them for a shell.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// How long one message, stream or document is followed.
    #[serde(default = "a_minute", deserialize_with = "span")]
    pub follow: Duration,
    /// Followed at once, for each load; an arrival beyond that is dropped and counted.
    #[serde(default = "two_thousand")]
    pub max_in_flight: usize,
    /// Stands in for the model. The workers have to be started with its address: see `environment`.
    pub model: Option<Model>,
    #[serde(rename = "load")]
    pub loads: Vec<Load>,
    #[serde(default)]
    pub limits: RunLimits,
}

/// The fake model of a scenario; `loadtest fake-model --help` explains each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    pub port: u16,
    #[serde(deserialize_with = "span")]
    pub latency: Duration,
    #[serde(deserialize_with = "span")]
    pub latency_p99: Duration,
    pub tokens_per_second: f64,
    pub token_jitter: f64,
    pub error_rate: f64,
    pub rate_limit_rate: f64,
    pub malformed_rate: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    pub name: String,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub arrivals: Spread,
    #[serde(rename = "phase")]
    pub phases: Vec<Phase>,
    /// Tenants that take turns.
    #[serde(default = "one")]
    pub tenants: u32,
    /// Conversations of a tenant that take turns; 0 opens one for each message.
    #[serde(default)]
    pub conversations: u32,
    /// Streams are broken off after so many events and resumed, once; 0 never.
    #[serde(default)]
    pub disconnect_after: usize,
    /// Who answers the tenants: `auto`, `extractive` or `openai`.
    pub provider: Option<String>,
    /// An endpoint for each tenant's `message.sent` events.
    pub webhook: Option<Webhook>,
    #[serde(default)]
    pub limits: LoadLimits,
}

/// What an arrival does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Submits a message and long-polls until it is final.
    #[default]
    Poll,
    /// Submits a message with `Prefer: wait`: one call for question and answer.
    Wait,
    /// Submits a message and follows its stream.
    Stream,
    /// Uploads a document and waits until it is searchable.
    Document,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Arrivals a second.
    pub rate: f64,
    /// The rate at the end, reached in a straight line.
    pub to: Option<f64>,
    #[serde(deserialize_with = "span")]
    pub duration: Duration,
}

/// How the receiver of a load behaves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    #[serde(deserialize_with = "span")]
    pub delay: Duration,
    /// Answers in order; the last one stays.
    pub statuses: Vec<u16>,
    /// Nobody listens: connections are refused.
    pub dead: bool,
}

/// What makes a run fail; a figure that is absent limits nothing. Latencies are those of the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadLimits {
    /// Of all arrivals, dropped ones included.
    pub min_answered_ratio: Option<f64>,
    pub max_p50_ms: Option<f64>,
    pub max_p99_ms: Option<f64>,
    pub max_submit_p99_ms: Option<f64>,
    /// Distinct valid deliveries for each message that was answered.
    pub min_delivered_ratio: Option<f64>,
    pub max_repeated_deliveries: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// Age of the oldest job that was due, at any sample while the load lasted.
    pub max_oldest_job_seconds: Option<f64>,
    /// Time that any process took to answer a scrape, at the median.
    pub max_scrape_ms: Option<f64>,
}

impl Scenario {
    pub fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text).with_context(|| format!("scenario {name} cannot be read"))?;
        scenario.check().with_context(|| format!("scenario {name} makes no sense"))?;
        Ok(scenario)
    }

    /// Fails with the first value that cannot be.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.loads.is_empty(), "it has no [[load]]");
        ensure!(self.duration() <= LONGEST_RUN, "it takes {:?}, more than {LONGEST_RUN:?}", self.duration());
        for load in &self.loads {
            let name = &load.name;
            ensure!(!load.phases.is_empty(), "load {name} has no [[load.phase]]");
            ensure!((1..=MOST_TENANTS).contains(&load.tenants), "load {name} needs 1 to {MOST_TENANTS} tenants");
            for phase in &load.phases {
                let rates = [phase.rate, phase.to.unwrap_or(phase.rate)];
                let sound = rates.iter().all(|rate| rate.is_finite() && *rate >= 0.0) && rates[0] + rates[1] > 0.0;
                ensure!(sound, "a rate of load {name} is not above 0");
                ensure!(!phase.duration.is_zero(), "a phase of load {name} has no duration");
            }
        }
        Ok(())
    }

    /// How long arrivals come.
    pub fn duration(&self) -> Duration {
        self.loads.iter().map(Load::duration).max().unwrap_or_default()
    }
}

impl Load {
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration::parse(&text).map_err(serde::de::Error::custom)
}

const fn a_minute() -> Duration {
    Duration::from_secs(60)
}

const fn two_thousand() -> usize {
    2_000
}

const fn one() -> u32 {
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        let refused = |text: &str| format!("{:#}", Scenario::parse("x", text).unwrap_err());
        let load = "description = ''\n[[load]]\nname = 'chat'\n";

        assert!(refused("description = ''").contains("missing field `load`"));
        assert!(refused(&format!("{load}[[load.phase]]\nrate = 1\nduration = '1s'\nspeed = 2")).contains("speed"));
        assert!(refused(&format!("{load}[[load.phase]]\nrate = 0\nduration = '1s'")).contains("rate of load chat"));
        assert!(refused(&format!("{load}[[load.phase]]\nrate = 1\nduration = '7h'")).contains("more than"));
        assert!(refused(&format!("{load}[[load.phase]]\nrate = 1\nduration = 'soon'")).contains("soon"));
    }
}
