//! What api and workers say of themselves, and what each process takes of the machine, once a second.
//!
//! Everything is read from outside: the metrics endpoints, and `/proc` of the processes that the caller named. What cannot be
//! read is left out of the sample rather than taken for zero.

mod exposition;
mod processes;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval};

use exposition::Exposition;
pub use processes::Process;
use processes::Reading;

const EVERY: Duration = Duration::from_secs(1);
const SCRAPE_TIMEOUT: Duration = Duration::from_millis(900);

/// One second's look at the product.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the load began; below zero before it.
    pub at: f64,
    pub lanes: BTreeMap<String, LaneSample>,
    pub processes: BTreeMap<String, ProcessSample>,
    /// The slowest of the metrics endpoints, in milliseconds.
    pub scrape_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct LaneSample {
    /// Jobs in the lane, running ones included.
    pub depth: f64,
    pub in_flight: f64,
    pub oldest_seconds: f64,
    /// Runs that began since the last sample, and their mean wait.
    pub runs: f64,
    pub wait_ms: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ProcessSample {
    /// Processors kept busy since the last sample.
    pub cores: f64,
    pub resident_mb: f64,
}

/// What a kind of job took over the whole load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stage {
    pub runs: f64,
    pub wait_mean_ms: f64,
    pub run_mean_ms: f64,
    /// Of a worker's processor, without what the job hands to other threads.
    pub cpu_mean_ms: f64,
    /// Slots that were busy at the mean.
    pub busy: f64,
}

/// Counters at one moment, to be subtracted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    at: Option<Instant>,
    exposition: Exposition,
    processes: BTreeMap<String, Reading>,
}

/// Samples in the background while it lives.
pub(crate) struct Observer {
    http: reqwest::Client,
    urls: Vec<String>,
    processes: Vec<Process>,
}

impl Observer {
    pub(crate) fn new(urls: Vec<String>, processes: Vec<Process>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(SCRAPE_TIMEOUT).build()?;
        Ok(Self { http, urls, processes })
    }

    /// Counters now, and how long the slowest endpoint took to tell.
    pub(crate) async fn look(&self) -> (Totals, Option<Duration>) {
        let answers = join_all(self.urls.iter().map(|url| self.scrape(url))).await;
        let slowest = answers.iter().flatten().map(|(_, took)| *took).max();
        let mut exposition = Exposition::default();
        for (text, _) in answers.into_iter().flatten() {
            exposition.add(&text);
        }
        (Totals { at: Some(Instant::now()), exposition, processes: processes::read(&self.processes) }, slowest)
    }

    async fn scrape(&self, url: &str) -> Option<(String, Duration)> {
        let started = Instant::now();
        let response = self.http.get(url).send().await.ok()?.error_for_status().ok()?;
        let text = response.text().await.ok()?;
        Some((text, started.elapsed()))
    }

    /// Looks once a second until it is dropped; what it saw is in the list.
    pub(super) async fn watch(self: Arc<Self>, start: Instant, samples: Arc<Mutex<Vec<Sample>>>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.tick().await;
        let (mut before, _) = self.look().await;
        loop {
            ticks.tick().await;
            let (now, slowest) = self.look().await;
            let mut sample = now.since(&before);
            let at = now.at.unwrap_or(start);
            sample.at =
                at.saturating_duration_since(start).as_secs_f64() - (start.saturating_duration_since(at)).as_secs_f64();
            sample.scrape_ms = slowest.map(|took| took.as_secs_f64() * 1e3);
            samples.lock().expect("no holder panics").push(sample);
            before = now;
        }
    }
}

impl Totals {
    /// What happened since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Sample {
        let mut lanes = BTreeMap::new();
        for kind in self.exposition.values_of("metachat_jobs_oldest_age_seconds", "kind") {
            let gauge = |name| self.exposition.labelled(name, "kind", &kind);
            let runs = self.rise(before, "metachat_job_wait_seconds_count", &kind);
            let waited = self.rise(before, "metachat_job_wait_seconds_sum", &kind);
            let lane = LaneSample {
                depth: gauge("metachat_lane_jobs"),
                in_flight: gauge("metachat_lane_in_flight"),
                oldest_seconds: gauge("metachat_jobs_oldest_age_seconds"),
                runs,
                wait_ms: (runs > 0.0).then(|| waited / runs * 1e3),
            };
            lanes.insert(kind, lane);
        }
        Sample { lanes, processes: self.processes_since(before), ..Sample::default() }
    }

    pub(super) fn processes_since(&self, before: &Self) -> BTreeMap<String, ProcessSample> {
        let passed = self.seconds_since(before);
        let sample = |name: &String, now: &Reading| {
            let then = before.processes.get(name)?;
            let cores = (now.cpu_seconds - then.cpu_seconds).max(0.0) / passed;
            Some((name.clone(), ProcessSample { cores, resident_mb: now.resident_mb }))
        };
        self.processes.iter().filter_map(|(name, now)| sample(name, now)).collect()
    }

    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        match (self.at, before.at) {
            (Some(now), Some(then)) => (now - then).as_secs_f64().max(1e-3),
            _ => 1e-3,
        }
    }

    pub(super) fn stages_since(&self, before: &Self) -> BTreeMap<String, Stage> {
        let passed = self.seconds_since(before);
        let stage = |kind: &String| {
            let runs = self.rise(before, "metachat_job_run_seconds_count", kind);
            let ran = self.rise(before, "metachat_job_run_seconds_sum", kind);
            let started = self.rise(before, "metachat_job_wait_seconds_count", kind).max(1.0);
            let waited = self.rise(before, "metachat_job_wait_seconds_sum", kind);
            Stage {
                runs,
                wait_mean_ms: waited / started * 1e3,
                run_mean_ms: ran / runs.max(1.0) * 1e3,
                cpu_mean_ms: self.rise(before, "metachat_job_cpu_seconds_sum", kind) / runs.max(1.0) * 1e3,
                busy: ran / passed,
            }
        };
        let kinds = self.exposition.values_of("metachat_job_run_seconds_count", "kind");
        kinds.into_iter().map(|kind| (kind.clone(), stage(&kind))).filter(|(_, stage)| stage.runs > 0.0).collect()
    }

    /// How much a counter without regard to its labels rose.
    pub(crate) fn total_rise(&self, before: &Self, name: &str) -> f64 {
        (self.exposition.total(name) - before.exposition.total(name)).max(0.0)
    }

    /// As [`Totals::total_rise`], of those with one label's value.
    pub(super) fn labelled_rise(&self, before: &Self, name: &str, label: &str, value: &str) -> f64 {
        (self.exposition.labelled(name, label, value) - before.exposition.labelled(name, label, value)).max(0.0)
    }

    fn rise(&self, before: &Self, name: &str, kind: &str) -> f64 {
        self.labelled_rise(before, name, "kind", kind)
    }
}
