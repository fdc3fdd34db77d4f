//! CPU time and memory, as the kernel and Redis count them.

use std::{collections::HashMap, fs, time::Duration};

use crate::setting;

/// Clock ticks per second of `/proc`: 100 on every Linux.
const TICKS: f64 = 100.0;

/// CPU seconds that all processes of a name on this machine have used, user and system.
pub fn cpu_of(name: &str) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .filter_map(|stat| {
            let (before, after) = stat.rsplit_once(')')?;
            let fields: Vec<&str> = after.split_whitespace().collect();
            // Fields 14 and 15 of proc(5), counted after the name; 16 and 17 are those of children that have ended.
            let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok());
            before.ends_with(&format!("({name}")).then_some((ticks(11)? + ticks(12)?) / TICKS)
        })
        .sum()
}

/// CPU seconds of this process.
pub fn own_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<f64> =
        stat.rsplit_once(')').expect("a name").1.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // The state, a letter, is not among the numbers.
    (fields[10] + fields[11]) / TICKS
}

/// Redis' own numbers.
pub struct RedisCost {
    info: HashMap<String, f64>,
}

impl RedisCost {
    pub async fn now() -> Self {
        let client = redis::Client::open(setting("REDIS_URL")).expect("a usable URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let text: String = redis::cmd("INFO").arg("everything").query_async(&mut connection).await.expect("INFO");
        let numbers = text.lines().filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.strip_prefix("calls=").map_or(value, |stat| stat.split(',').next().unwrap_or(stat));
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self { info: numbers.collect() }
    }

    fn of(&self, name: &str) -> f64 {
        self.info.get(name).copied().unwrap_or_default()
    }

    /// CPU seconds, user and system.
    pub fn cpu(&self) -> f64 {
        self.of("used_cpu_user") + self.of("used_cpu_sys")
    }

    /// Script calls received.
    pub fn calls(&self) -> f64 {
        self.of("cmdstat_evalsha")
    }

    /// Commands run, those inside scripts included.
    pub fn commands(&self) -> f64 {
        self.of("total_commands_processed")
    }

    /// Bytes in use for data.
    pub fn memory(&self) -> f64 {
        self.of("used_memory")
    }
}

pub fn per_second(amount: f64, time: Duration) -> f64 {
    amount / time.as_secs_f64()
}
