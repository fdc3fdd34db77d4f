//! What the commands print: tables for people, JSON for programs.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Table, presets::NOTHING};
use jobs::{
    domain::ids::{JobId, TenantId},
    store::{
        checks::Finding,
        dead_jobs::DeadJob,
        embedding_models::Standing,
        job_counts::{Counts, MOST},
        replays::Replay,
    },
};
use serde_json::{Value, json};

use super::secrets::Count;

/// Characters of a cause in a list; `show` has it in full.
const CAUSE_CHARS: usize = 60;

pub(super) fn dead_jobs(jobs: &[DeadJob], next_cursor: Option<&str>, as_json: bool) {
    if as_json {
        let data: Vec<_> = jobs.iter().map(json_of).collect();
        return print_json(&json!({ "data": data, "next_cursor": next_cursor }));
    }
    if jobs.is_empty() {
        return print("no dead jobs");
    }
    let mut table = table(&["JOB", "TENANT", "KIND", "ATTEMPTS", "DIED", "CAUSE"]);
    for job in jobs {
        let cause = clean(&job.cause);
        let short: String = cause.chars().take(CAUSE_CHARS).collect();
        let cause = if short.len() < cause.len() { format!("{short}…") } else { short };
        table.add_row([
            job.id.to_string(),
            owner(job.tenant),
            clean(&job.kind),
            job.attempt.to_string(),
            time(job.died_at),
            cause,
        ]);
    }
    print(&table.trim_fmt());
    if let Some(cursor) = next_cursor {
        print(&format!("\nThere are more: add --cursor {cursor}"));
    }
}

pub(super) fn dead_job(job: &DeadJob, as_json: bool) {
    if as_json {
        return print_json(&json_of(job));
    }
    let payload = serde_json::to_string_pretty(&job.payload).expect("JSON that was read can be written");
    let subject = job.subject.map_or_else(|| "-".to_owned(), |subject| subject.to_string());
    print_fields(&[
        ("job", job.id.to_string()),
        ("tenant", owner(job.tenant)),
        ("kind", clean(&job.kind)),
        ("key", clean(&job.key)),
        ("subject", subject),
        ("attempts", job.attempt.to_string()),
        ("created", time(job.created_at)),
        ("died", time(job.died_at)),
        ("trace", job.traceparent.as_deref().map_or_else(|| "-".to_owned(), clean)),
        ("cause", clean(&job.cause)),
        ("payload", payload),
    ]);
}

pub(super) fn orphans(findings: &[Finding], as_json: bool) {
    if as_json {
        let data = findings.iter().map(|found| {
            json!({
                "table": found.table,
                "key": found.key,
                "rows": found.rows,
                "orphans": found.orphans,
                "samples": found.samples,
                "verdict": found.verdict,
            })
        });
        return print_json(&json!({ "data": data.collect::<Vec<_>>() }));
    }
    let mut table = table(&["TABLE", "KEY", "ROWS", "ORPHANS", "VERDICT", "SAMPLES"]);
    for found in findings {
        table.add_row([
            found.table.clone(),
            found.key.clone(),
            found.rows.to_string(),
            found.orphans.to_string(),
            found.verdict.clone(),
            found.samples.join(" "),
        ]);
    }
    print(&table.trim_fmt());
}

pub(super) fn secrets(counts: &[Count], as_json: bool) {
    if as_json {
        let data = counts.iter().map(
            |count| json!({ "column": count.column, "key": count.key, "values": count.values, "state": count.state }),
        );
        return print_json(&json!({ "data": data.collect::<Vec<_>>() }));
    }
    let mut table = table(&["COLUMN", "KEY", "VALUES", "STATE"]);
    for count in counts {
        table.add_row([count.column, &count.key, &count.values.to_string(), count.state]);
    }
    print(&table.trim_fmt());
}

pub(super) fn replay(replay: &Replay, as_json: bool) {
    if as_json {
        return print_json(&json!({
            "id": replay.id,
            "tenant": replay.filter.tenant,
            "state": replay.state.as_str(),
            "rate_per_second": replay.rate_per_second,
            "matched": replay.matched,
            "replayed": replay.replayed,
            "skipped": replay.skipped,
            "remaining": replay.remaining(),
            "started_at": replay.started_at,
            "finished_at": replay.finished_at,
        }));
    }
    print_fields(&[
        ("replay", replay.id.to_string()),
        ("state", replay.state.as_str().to_owned()),
        ("rate", format!("{} a second", replay.rate_per_second)),
        ("matched", replay.matched.to_string()),
        ("replayed", replay.replayed.to_string()),
        ("skipped", format!("{} (the same work is queued already)", replay.skipped)),
        ("remaining", replay.remaining().to_string()),
        ("started", time(replay.started_at)),
        ("finished", replay.finished_at.map_or_else(|| "-".to_owned(), time)),
    ]);
}

pub(super) fn queued(id: JobId, kind: &str, as_json: bool) {
    match as_json {
        true => print_json(&json!({ "id": id, "kind": kind, "status": "queued" })),
        false => print(&format!("{id} ({}) is queued", clean(kind))),
    }
}

pub(super) fn discarded(count: u64, as_json: bool) {
    match as_json {
        true => print_json(&json!({ "discarded": count })),
        false => print(&format!("{count} discarded")),
    }
}

pub(super) fn counts(counts: &[Counts], as_json: bool) {
    if as_json {
        let data = counts.iter().map(|counts| {
            json!({
                "kind": counts.kind,
                "unfinished": counts.unfinished,
                "due": counts.due,
                "parked": counts.parked,
                "oldest_age_seconds": counts.oldest_age_seconds,
                "dead": counts.dead,
            })
        });
        return print_json(&json!({ "data": data.collect::<Vec<_>>(), "counted_up_to": MOST }));
    }
    let mut table = table(&["KIND", "UNFINISHED", "DUE", "PARKED", "OLDEST", "DEAD"]);
    let count = |count: i64| if count == MOST { format!("{MOST}+") } else { count.to_string() };
    for of in counts {
        table.add_row([
            clean(&of.kind),
            count(of.unfinished),
            count(of.due),
            count(of.parked),
            age(of.oldest_age_seconds),
            count(of.dead),
        ]);
    }
    print(&table.trim_fmt());
}

pub(super) fn models(standings: &[Standing], as_json: bool) {
    if as_json {
        let data = standings.iter().map(|of| {
            json!({
                "model": of.model,
                "loaded": of.loaded,
                "tenants": of.tenants,
                "chunks": of.chunks,
                "building_for_tenants": of.building,
                "documents_done": of.documents_done,
                "documents_total": of.documents_total,
            })
        });
        return print_json(&json!({ "data": data.collect::<Vec<_>>() }));
    }
    let mut table = table(&["MODEL", "TENANTS", "CHUNKS", "BUILDING FOR", "DOCUMENTS"]);
    for of in standings {
        let progress =
            if of.building == 0 { "-".to_owned() } else { format!("{}/{}", of.documents_done, of.documents_total) };
        let name = if of.loaded { clean(&of.model) } else { format!("{} (no worker has it)", clean(&of.model)) };
        table.add_row([name, of.tenants.to_string(), of.chunks.to_string(), of.building.to_string(), progress]);
    }
    print(&table.trim_fmt());
}

fn json_of(job: &DeadJob) -> Value {
    json!({
        "id": job.id,
        "tenant": job.tenant,
        "kind": job.kind,
        "key": job.key,
        "payload": job.payload,
        "subject": job.subject,
        "attempts": job.attempt,
        "cause": job.cause,
        "traceparent": job.traceparent,
        "created_at": job.created_at,
        "died_at": job.died_at,
    })
}

fn owner(tenant: Option<TenantId>) -> String {
    tenant.map_or_else(|| "(platform)".to_owned(), |tenant| tenant.to_string())
}

/// In the largest unit that fits.
fn age(seconds: f64) -> String {
    match seconds {
        ..=0.0 => "-".to_owned(),
        ..60.0 => format!("{seconds:.0} s"),
        ..3_600.0 => format!("{:.0} min", seconds / 60.0),
        ..86_400.0 => format!("{:.1} h", seconds / 3_600.0),
        _ => format!("{:.1} d", seconds / 86_400.0),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text of others on one line, without the control characters that would steer a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.to_vec());
    table
}

fn print_fields(fields: &[(&str, String)]) {
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name:<10} {value}")).collect();
    print(&lines.join("\n"));
}

fn print_json(value: &Value) {
    print(&format!("{value:#}"));
}

/// Ends quietly when nobody reads on, as in `metachat jobs list | head`.
pub(super) fn print(text: &str) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in
            [(0.0, "-"), (0.4, "0 s"), (42.0, "42 s"), (150.0, "2 min"), (5_400.0, "1.5 h"), (172_800.0, "2.0 d")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
