//! What a run showed, as data: written as JSON, read again by `loadtest plan`, printed as text and drawn as a page.

mod chart;
mod page;
mod text;
mod verdict;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::flight::Outcome;
use super::observe::{LaneSample, ProcessSample, Sample, Stage};
use super::scenario::{Kind, Load, Scenario};
use super::tally::Tally;
use crate::receiver::Counts;
pub(super) use page::page;
pub(crate) use text::table;
pub(super) use text::text;
pub(super) use verdict::judge;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub scenario: String,
    pub description: String,
    /// RFC 3339.
    pub began: String,
    pub processors: usize,
    /// How long arrivals came, in seconds.
    pub load_seconds: f64,
    /// Median latency of the scenario's fake model; zero without one.
    pub model_latency_ms: f64,
    pub loads: Vec<LoadReport>,
    /// What each kind of job took from the first arrival to the last end.
    pub stages: BTreeMap<String, Stage>,
    /// What each process took while arrivals came; memory is the highest sample.
    pub processes: BTreeMap<String, ProcessSample>,
    /// The same just before, with nothing to do.
    pub idle: BTreeMap<String, ProcessSample>,
    pub totals: RunTotals,
    pub samples: Vec<Sample>,
    pub limits: Vec<Limit>,
}

/// Sums over everything that arrived.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RunTotals {
    pub arrivals: u64,
    pub answered: u64,
    /// Answered messages a second while arrivals came.
    pub answered_per_second: f64,
    pub jobs: f64,
    /// A question's embedding, at the mean.
    pub embed_mean_ms: f64,
    pub prompt_tokens: f64,
    pub completion_tokens: f64,
    pub median_scrape_ms: Option<f64>,
    pub oldest_job_seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadReport {
    pub name: String,
    pub kind: String,
    pub arrivals: u64,
    pub dropped: u64,
    pub abandoned: u64,
    pub answered: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub submit: Option<Latency>,
    pub answer: Option<Latency>,
    pub webhooks: Option<Webhooks>,
    pub seconds: Vec<SecondReport>,
}

/// In milliseconds, from the due time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Webhooks {
    /// Events delivered, each counted once.
    pub delivered: u64,
    pub repeated: u64,
    pub refused: u64,
    pub bad_signatures: u64,
    /// From the event to the receiver.
    pub latency: Option<Latency>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SecondReport {
    pub due: u64,
    pub finished: u64,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
}

/// What is drawn of a lane.
type LaneSeries = fn(&LaneSample) -> Option<f64>;

/// A figure that was not to be passed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limit {
    pub what: String,
    pub limit: f64,
    pub seen: Option<f64>,
    pub kept: bool,
}

impl Latency {
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        let latency =
            || Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1e3 };
        (!histogram.is_empty()).then(latency)
    }
}

impl LoadReport {
    pub(super) fn new(load: &Load, tally: &Tally, webhooks: Option<&Counts>) -> Self {
        let kind = match load.kind {
            Kind::Poll => "messages, polled",
            Kind::Wait => "messages, waited for",
            Kind::Stream => "messages, streamed",
            Kind::Document => "documents",
        };
        let seconds = tally.seconds.iter().map(|second| {
            let at =
                |quantile| (!second.answer.is_empty()).then(|| second.answer.value_at_quantile(quantile) as f64 / 1e3);
            SecondReport { due: second.due, finished: second.finished, p50: at(0.5), p90: at(0.9), p99: at(0.99) }
        });
        Self {
            name: load.name.clone(),
            kind: kind.to_owned(),
            arrivals: tally.due(),
            dropped: tally.dropped,
            abandoned: tally.abandoned,
            answered: tally.answered(),
            outcomes: tally.outcomes.iter().map(|(outcome, count)| (describe(*outcome), *count)).collect(),
            submit: Latency::of(&tally.submit),
            answer: Latency::of(&tally.answer),
            webhooks: webhooks.map(|counts| Webhooks {
                delivered: counts.accepted,
                repeated: counts.repeated,
                refused: counts.refused,
                bad_signatures: counts.bad_signatures,
                latency: Latency::of(&counts.latencies),
            }),
            seconds: seconds.collect(),
        }
    }
}

impl Report {
    /// True when nothing passed its limit.
    pub fn kept(&self) -> bool {
        self.limits.iter().all(|limit| limit.kept)
    }

    /// Fills in what follows from the other figures.
    pub(super) fn conclude(mut self, scenario: &Scenario) -> Self {
        let during = |sample: &&Sample| sample.at >= 0.0 && sample.at <= self.load_seconds;
        let mut scrapes: Vec<f64> = self.samples.iter().filter(during).filter_map(|sample| sample.scrape_ms).collect();
        scrapes.sort_by(f64::total_cmp);
        let ages = self.samples.iter().filter(during).flat_map(|sample| sample.lanes.values());
        let in_load = |load: &LoadReport| -> u64 {
            load.seconds.iter().take(self.load_seconds.ceil() as usize).map(|second| second.finished).sum()
        };
        let finished: u64 = self.loads.iter().map(in_load).sum();
        self.totals = RunTotals {
            arrivals: self.loads.iter().map(|load| load.arrivals).sum(),
            answered: self.loads.iter().map(|load| load.answered).sum(),
            answered_per_second: finished as f64 / self.load_seconds,
            median_scrape_ms: scrapes.get(scrapes.len() / 2).copied(),
            oldest_job_seconds: ages.map(|lane| lane.oldest_seconds).fold(0.0, f64::max),
            ..self.totals
        };
        self.limits = judge(scenario, &self);
        self
    }
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Finished(status) => status.to_string(),
        Outcome::Searchable => "searchable".to_owned(),
        Outcome::Unreadable => "document failed".to_owned(),
        Outcome::Refused(status) => format!("refused with {status}"),
        Outcome::Broken => "no usable reply".to_owned(),
        Outcome::Torn => "stream lost or repeated events".to_owned(),
        Outcome::TimedOut => "not at its end in time".to_owned(),
    }
}
