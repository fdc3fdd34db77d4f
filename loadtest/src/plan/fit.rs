//! What one answer takes, read off a run.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::ensure;

use crate::load::{Report, table};

/// Below this share of arrivals answered, the run measured an overload.
const KEPT_UP: f64 = 0.99;
/// Completions in flight that are enough to see their memory.
const ENOUGH_COMPLETIONS: f64 = 200.0;
/// The job that waits for the model.
const COMPLETE: &str = "complete";

/// Linear costs. CPU is in milliseconds of one processor per answer.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    pub(super) roles: BTreeMap<Role, Cost>,
    pub(super) stages: BTreeMap<String, Stage>,
    pub(super) processors: f64,
    pub(super) embed_ms: f64,
    pub(super) prompt_tokens: f64,
    pub(super) completion_tokens: f64,
    pub(super) completion_kb: f64,
    /// Whether the memory of a completion was seen, not assumed.
    pub(super) memory_seen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Api,
    Worker,
    Postgres,
    Redis,
    /// The load itself: it takes processors of this machine, and none of a deployment.
    Loadtest,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) processes: f64,
    /// Processors that all processes of the role take with nothing to do.
    pub(super) idle_cores: f64,
    pub(super) ms_per_answer: f64,
    pub(super) resident_mb: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    pub(super) runs_per_answer: f64,
    /// Without the wait for the model.
    pub(super) run_ms: f64,
    pub(super) waits_for_model: bool,
}

impl Role {
    fn of(process: &str) -> Option<Self> {
        Some(match process {
            "api" => Self::Api,
            "postgres" => Self::Postgres,
            "redis" => Self::Redis,
            "loadtest" => Self::Loadtest,
            name if name.starts_with("worker") => Self::Worker,
            _ => return None,
        })
    }
}

impl Fit {
    /// Fails when the run says nothing about costs: an overload, or without processes or stages.
    pub(super) fn of(report: &Report, assumed_completion_kb: f64) -> anyhow::Result<Self> {
        let totals = report.totals;
        let answered = totals.answered as f64;
        ensure!(answered >= 1.0, "the run answered nothing");
        let share = answered / totals.arrivals as f64;
        ensure!(share >= KEPT_UP, "the run answered {:.1} % of its arrivals: it measured an overload", share * 100.0);
        ensure!(!report.stages.is_empty(), "the run saw no metrics: give METRICS_URLS");
        let mut roles: BTreeMap<Role, Cost> = BTreeMap::new();
        for (name, process) in &report.processes {
            let Some(role) = Role::of(name) else { continue };
            let cost = roles.entry(role).or_default();
            let idle = report.idle.get(name).map_or(0.0, |idle| idle.cores);
            cost.processes += 1.0;
            cost.idle_cores += idle;
            cost.ms_per_answer += (process.cores - idle).max(0.0) / totals.answered_per_second * 1e3;
            cost.resident_mb += process.resident_mb;
        }
        for role in [Role::Api, Role::Worker, Role::Postgres, Role::Redis] {
            ensure!(roles.contains_key(&role), "the run did not watch {role:?}: give --process, as `make load` does");
        }
        let stage = |(kind, stage): (&String, &crate::load::Stage)| {
            let waits_for_model = kind == COMPLETE;
            let model = if waits_for_model { report.model_latency_ms } else { 0.0 };
            let run_ms = (stage.run_mean_ms - model).max(0.0);
            (kind.clone(), Stage { runs_per_answer: stage.runs / answered, run_ms, waits_for_model })
        };
        let (memory_seen, completion_kb) = match completion_kb(report) {
            Some(seen) => (true, seen),
            None => (false, assumed_completion_kb),
        };
        Ok(Self {
            roles,
            stages: report.stages.iter().map(stage).collect(),
            processors: report.processors as f64,
            embed_ms: totals.embed_mean_ms,
            prompt_tokens: totals.prompt_tokens / answered,
            completion_tokens: totals.completion_tokens / answered,
            completion_kb,
            memory_seen,
        })
    }

    pub(super) fn cost(&self, role: Role) -> Cost {
        self.roles.get(&role).copied().unwrap_or_default()
    }

    /// Processors of a role's single replica, or of all its processes on this machine, at a rate.
    pub(super) fn cores(&self, role: Role, rate: f64) -> f64 {
        let cost = self.cost(role);
        cost.idle_cores + cost.ms_per_answer * rate / 1e3
    }

    /// Answers a second at which this machine, with the load on it, is busy to a share.
    pub(super) fn machine_rate(&self, utilisation: f64) -> f64 {
        let idle: f64 = self.roles.values().map(|cost| cost.idle_cores).sum();
        let per_answer: f64 = self.roles.values().map(|cost| cost.ms_per_answer).sum();
        (self.processors * utilisation - idle).max(0.0) / per_answer.max(f64::MIN_POSITIVE) * 1e3
    }
}

/// The workers' growth over what was in flight at most.
fn completion_kb(report: &Report) -> Option<f64> {
    let in_flight = report.samples.iter().filter_map(|sample| sample.lanes.get(COMPLETE)).map(|lane| lane.in_flight);
    let most = in_flight.fold(0.0, f64::max);
    let grown =
        report.processes.iter().filter(|(name, _)| Role::of(name) == Some(Role::Worker)).map(|(name, process)| {
            process.resident_mb - report.idle.get(name).map_or(process.resident_mb, |idle| idle.resident_mb)
        });
    let grown_kb = grown.sum::<f64>().max(0.0) * 1024.0;
    (most >= ENOUGH_COMPLETIONS).then_some(grown_kb / most)
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut costs = table(["measured", "idle, % of a CPU", "CPU ms per answer", "memory, MB"]);
        for (role, cost) in &self.roles {
            costs.add_row([
                format!("{role:?} × {}", cost.processes).to_lowercase(),
                format!("{:.1}", cost.idle_cores * 100.0),
                format!("{:.2}", cost.ms_per_answer),
                format!("{:.0}", cost.resident_mb),
            ]);
        }
        let mut stages = table(["job", "runs per answer", "run ms, without the model"]);
        for (kind, stage) in &self.stages {
            stages.add_row([kind.clone(), format!("{:.2}", stage.runs_per_answer), format!("{:.2}", stage.run_ms)]);
        }
        writeln!(f, "{costs}\n{stages}")?;
        let how = if self.memory_seen { "measured" } else { "assumed" };
        write!(f, "an embedding {:.2} ms; a completion in flight {:.0} KB ({how})", self.embed_ms, self.completion_kb)
    }
}
