//! CPU and memory of processes with all their children, from `/proc`; elsewhere than on Linux there is nothing to read.

use std::collections::BTreeMap;
use std::fs;
use std::str::FromStr;

/// Clock ticks a second, as `/proc` counts on every Linux.
const TICKS: f64 = 100.0;
const PAGE_MB: f64 = 4096.0 / 1024.0 / 1024.0;

/// A process to watch, as `name=pid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub name: String,
    pub pid: u32,
}

impl FromStr for Process {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or_else(|| format!("{text:?} is not name=pid"))?;
        let pid = pid.parse().map_err(|_| format!("{pid:?} is not a process id"))?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) cpu_seconds: f64,
    pub(super) resident_mb: f64,
}

struct Stat {
    pid: u32,
    parent: u32,
    own: f64,
    of_ended_children: f64,
    resident_mb: f64,
    private_mb: f64,
}

/// A server with a process for each connection counts with its children, those that ended included, and with the memory that
/// only they use.
pub(super) fn read(processes: &[Process]) -> BTreeMap<String, Reading> {
    if processes.is_empty() {
        return BTreeMap::new();
    }
    let all: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let reading = |process: &Process| {
        let root = all.iter().find(|stat| stat.pid == process.pid)?;
        let mut sum = Reading { cpu_seconds: root.own + root.of_ended_children, resident_mb: root.resident_mb };
        for child in all.iter().filter(|stat| stat.parent == process.pid) {
            sum.cpu_seconds += child.own;
            sum.resident_mb += child.private_mb;
        }
        Some((process.name.clone(), sum))
    };
    processes.iter().filter_map(reading).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets included.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let pages = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: Vec<f64> = pages.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    let (&resident, &shared) = (pages.get(1)?, pages.get(2)?);
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        own: (number(11)? + number(12)?) / TICKS,
        of_ended_children: (number(13)? + number(14)?) / TICKS,
        resident_mb: resident * PAGE_MB,
        private_mb: (resident - shared) * PAGE_MB,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_named_and_numbered() {
        assert_eq!("api=17".parse(), Ok(Process { name: "api".into(), pid: 17 }));
        assert!("api".parse::<Process>().is_err());
        assert!("api=x".parse::<Process>().is_err());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_run_and_takes_memory() {
        let me = Process { name: "me".into(), pid: std::process::id() };
        let reading = read(&[me, Process { name: "nobody".into(), pid: u32::MAX }]);
        assert!(reading["me"].resident_mb > 1.0);
        assert!(!reading.contains_key("nobody"));
    }
}
