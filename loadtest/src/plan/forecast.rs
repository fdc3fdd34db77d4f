//! What a rate needs.

use std::fmt;
use std::time::Duration;

use super::fit::{Fit, Role};
use super::{Machine, Prices};
use crate::load::table;

/// Postgres connections beside those that are busy: each process' system pool and listener.
const FIXED_CONNECTIONS: f64 = 5.0;
const HOURS_PER_SECOND: f64 = 1.0 / 3600.0;
const MILLION: f64 = 1e6;

pub(super) struct Forecast {
    rate: f64,
    apis: f64,
    workers: f64,
    postgres_cores: f64,
    redis_cores: f64,
    /// Slots of each kind, in one worker.
    slots: Vec<(String, f64)>,
    completions_in_flight: f64,
    connections: f64,
    worker_mb: f64,
    memory_gb: f64,
    /// Of the resources that are not simply replicated: how busy, and the rate at which it gives out.
    limits: Vec<(String, f64, f64)>,
    machine_usd: f64,
    model_usd: f64,
    machine_rate: f64,
}

impl Forecast {
    pub(super) fn new(fit: &Fit, rate: f64, model: Duration, machine: Machine, prices: Prices) -> Self {
        let share = machine.utilisation;
        let cores = |role| fit.cost(role).ms_per_answer * rate / 1e3;
        let replicas = |role: Role, cores: f64| {
            let cost = fit.cost(role);
            let idle = cost.idle_cores / cost.processes.max(1.0);
            (cores / (machine.replica_cores * share - idle).max(0.01)).ceil().max(1.0)
        };
        let embedding = rate * fit.embed_ms / 1e3;
        let apis = replicas(Role::Api, cores(Role::Api));
        // A worker embeds on one thread by default.
        let workers = replicas(Role::Worker, cores(Role::Worker)).max((embedding / share).ceil());

        let busy = |stage: &super::fit::Stage| {
            let wait = if stage.waits_for_model { model.as_secs_f64() * 1e3 } else { 0.0 };
            rate * stage.runs_per_answer * (stage.run_ms + wait) / 1e3
        };
        let slots = fit.stages.iter().map(|(kind, stage)| (kind.clone(), (busy(stage) / share / workers).ceil()));
        let completing = fit.stages.values().filter(|stage| stage.waits_for_model).map(busy).sum::<f64>();
        // Nearly all that a job does beside the model and the embedding is done with a connection in hand.
        let in_store: f64 = fit.stages.values().map(|stage| rate * stage.runs_per_answer * stage.run_ms / 1e3).sum();
        let connections = ((in_store - embedding).max(0.0) / share).ceil() + FIXED_CONNECTIONS * (workers + apis);

        let per_process = |role: Role| fit.cost(role).resident_mb / fit.cost(role).processes.max(1.0);
        let worker_mb = per_process(Role::Worker) + completing * fit.completion_kb / 1024.0 / workers;
        let (postgres_cores, redis_cores) = (fit.cores(Role::Postgres, rate), fit.cores(Role::Redis, rate));
        let memory_gb = (workers * worker_mb
            + apis * per_process(Role::Api)
            + fit.cost(Role::Postgres).resident_mb
            + fit.cost(Role::Redis).resident_mb)
            / 1024.0;
        let held_cores = (workers + apis) * machine.replica_cores + machine.postgres_cores.max(postgres_cores) + 1.0;
        let hours = MILLION / rate * HOURS_PER_SECOND;
        let gives_out = |role: Role, cores: f64| {
            (cores * share - fit.cost(role).idle_cores).max(0.0) / fit.cost(role).ms_per_answer.max(1e-6) * 1e3
        };
        Self {
            rate,
            apis,
            workers,
            postgres_cores,
            redis_cores,
            slots: slots.collect(),
            completions_in_flight: completing,
            connections,
            worker_mb,
            memory_gb,
            limits: vec![
                (
                    format!("Postgres, {} processors", machine.postgres_cores),
                    postgres_cores / machine.postgres_cores,
                    gives_out(Role::Postgres, machine.postgres_cores),
                ),
                ("Redis, one processor for its commands".to_owned(), redis_cores, gives_out(Role::Redis, 1.0)),
            ],
            machine_usd: hours * (held_cores * prices.usd_per_core_hour + memory_gb * prices.usd_per_gb_hour),
            model_usd: fit.prompt_tokens * prices.usd_per_million_prompt_tokens
                + fit.completion_tokens * prices.usd_per_million_completion_tokens,
            machine_rate: fit.machine_rate(share),
        }
    }
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut needs = table([&format!("{:.1} answers a second need", self.rate), "amount"]);
        let mut add = |what: &str, amount: String| {
            needs.add_row([what.to_owned(), amount]);
        };
        add("api replicas", format!("{:.0}", self.apis));
        add("worker replicas", format!("{:.0}", self.workers));
        add("Postgres, processors", format!("{:.2}", self.postgres_cores));
        add("Redis, processors", format!("{:.2}", self.redis_cores));
        add("completions in flight", format!("{:.0}", self.completions_in_flight));
        add("Postgres connections, all processes", format!("{:.0}", self.connections));
        add("memory of a worker, MB", format!("{:.0}", self.worker_mb));
        add("memory in all, GB", format!("{:.1}", self.memory_gb));
        add("machines, USD per million answers", format!("{:.2}", self.machine_usd));
        add("model, USD per million answers", format!("{:.2}", self.model_usd));
        writeln!(f, "{needs}")?;
        let slots: Vec<String> = self.slots.iter().map(|(kind, count)| format!("{kind}={count:.0}")).collect();
        writeln!(f, "slots of a worker: LANE_SLOTS={}", slots.join(","))?;
        let first = self.limits.iter().min_by(|left, right| left.2.total_cmp(&right.2));
        if let Some((name, busy, rate)) = first {
            let verdict = if *rate < self.rate { "IS the bottleneck: it gives out" } else { "gives out first" };
            writeln!(f, "{name} {verdict}, at {rate:.0} answers a second (here {:.0} % busy)", busy * 100.0)?;
        }
        write!(f, "this machine alone, with the load on it: {:.0} answers a second", self.machine_rate)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::load::Report;

    const MACHINE: Machine =
        Machine { replica_cores: 2.0, postgres_cores: 4.0, utilisation: 0.5, completion_kb: 100.0 };
    const PRICES: Prices = Prices {
        usd_per_core_hour: 0.04,
        usd_per_gb_hour: 0.0,
        usd_per_million_prompt_tokens: 0.5,
        usd_per_million_completion_tokens: 2.0,
    };

    /// A hundred answers a second: 2 ms of api, 5 of worker, 4 of Postgres and 1 of Redis each.
    fn report(arrivals: u64) -> Report {
        let process = |cores: f64| json!({ "cores": cores, "resident_mb": 300.0 });
        let stage = |run: f64| json!({ "runs": 6_000.0, "wait_mean_ms": 1.0, "run_mean_ms": run, "cpu_mean_ms": run, "busy": 1.0 });
        let report = json!({
            "scenario": "steady", "description": "", "began": "", "processors": 2, "load_seconds": 60.0, "model_latency_ms": 0.0,
            "loads": [], "samples": [], "limits": [],
            "stages": { "retrieve": stage(4.0), "complete": stage(10.0) },
            "processes": {
                "api": process(0.2), "worker-1": process(0.3), "worker-2": process(0.3), "postgres": process(0.4),
                "redis": process(0.1),
            },
            "idle": { "worker-1": process(0.05), "worker-2": process(0.05) },
            "totals": {
                "arrivals": arrivals, "answered": 6_000, "answered_per_second": 100.0, "jobs": 12_000.0,
                "embed_mean_ms": 2.0, "prompt_tokens": 6_000_000.0, "completion_tokens": 600_000.0,
                "median_scrape_ms": 1.0, "oldest_job_seconds": 0.1,
            },
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_rate_needs_its_share_of_processors_and_slots_by_littles_law() {
        let fit = Fit::of(&report(6_000), MACHINE.completion_kb).unwrap();
        assert!((fit.cost(Role::Worker).ms_per_answer - 5.0).abs() < 1e-9, "without what it takes idle");

        let forecast = Forecast::new(&fit, 1_000.0, Duration::from_millis(1_490), MACHINE, PRICES);

        // 2 processors of which 1 may be busy: 1 000 × 2 ms for the api; the workers' idle share is taken off theirs.
        assert_eq!((forecast.apis, forecast.workers), (2.0, 6.0));
        assert!((forecast.completions_in_flight - 1_500.0).abs() < 1e-6, "1 000 a second for 1.5 s");
        let complete = forecast.slots.iter().find(|(kind, _)| kind == "complete").unwrap().1;
        assert_eq!(complete, 500.0, "1 500 in 6 workers, half of the slots busy");
        assert!((forecast.postgres_cores - 4.0).abs() < 1e-9);
        // Of 4 processors 2 may be busy: 500 answers of 4 ms; Redis has half of one, 500 of 1 ms.
        assert!(forecast.limits.iter().all(|(_, _, rate)| (rate - 500.0).abs() < 1e-6));
        assert!((forecast.model_usd - 700.0).abs() < 1e-6, "1 000 and 100 tokens an answer");
        assert!(forecast.to_string().contains("IS the bottleneck"));
    }

    #[test]
    fn an_overload_is_no_ground_for_a_plan() {
        let error = Fit::of(&report(12_000), MACHINE.completion_kb).unwrap_err();
        assert!(error.to_string().contains("overload"), "{error}");
    }
}
