//! Keeps dashboards, alerts and their README in step with the metrics that the code emits, and the dashboards in one form.

mod boards;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Where metrics are emitted.
const CODE: [&str; 3] = ["jobs/src", "worker/src", "api/src"];
const PREFIX: &str = "metachat_";
/// What Prometheus' text format appends to a histogram's name.
const HISTOGRAM_SERIES: [&str; 3] = ["_bucket", "_sum", "_count"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The files below a folder whose names end so, with their text.
fn texts(folder: &Path, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|it| it.to_str());
        if path.is_dir() {
            found.extend(texts(&path, extensions));
        } else if extension.is_some_and(|it| extensions.contains(&it)) {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.push((path, text));
        }
    }
    found
}

fn is_name(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
}

fn name_at(text: &str) -> &str {
    text.split(|character| !is_name(character)).next().unwrap_or_default()
}

/// Metrics by name, with the type that the macro around the literal gives them; a literal outside of such a macro
/// (a matcher's, say) must name a metric that one of them emits.
fn emitted() -> BTreeMap<String, &'static str> {
    let mut types: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut mentioned = BTreeSet::new();
    for (path, code) in CODE.iter().flat_map(|folder| texts(&root().join(folder), &["rs"])) {
        for (at, _) in code.match_indices(&format!("\"{PREFIX}")) {
            let name = name_at(&code[at + 1..]);
            mentioned.insert(name.to_owned());
            let before = code[..at].trim_end();
            let kinds = ["counter", "gauge", "histogram"];
            let emits = kinds.into_iter().find(|kind| before.ends_with(&format!("{kind}!(")));
            if let Some(this) = emits {
                let first = *types.entry(name.to_owned()).or_insert(this);
                assert_eq!(first, this, "{}: {name} has two types", path.display());
            }
        }
    }
    for name in mentioned {
        assert!(types.contains_key(&name), "{name} is in no macro that emits it");
    }
    assert!(types.len() > 20, "the code was read");
    types
}

/// The dashboards.
const BOARDS: [&str; 8] =
    ["overview", "pipeline", "lanes", "tenants", "knowledge", "models", "webhooks", "infrastructure"];

fn dashboards(file: &str) -> String {
    fs::read_to_string(root().join("dashboards").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The metrics of the README's table, with their types.
fn documented(readme: &str) -> BTreeMap<String, String> {
    let rows = readme.lines().filter_map(|line| line.strip_prefix(&format!("| `{PREFIX}")));
    let mut metrics = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').map(str::trim);
        let name = format!("{PREFIX}{}", cells.next().unwrap_or_default().trim_end_matches('`'));
        let kind = cells.next().unwrap_or_default().to_owned();
        assert!(metrics.insert(name.clone(), kind).is_none(), "{name} has two rows");
    }
    metrics
}

/// Series that a text asks for; longer words that only contain the prefix are none.
fn used(text: &str) -> BTreeSet<&str> {
    text.match_indices(PREFIX)
        .filter(|(at, _)| !text[..*at].ends_with(is_name))
        .map(|(at, _)| name_at(&text[at..]))
        .collect()
}

#[test]
fn the_readme_lists_every_metric_with_its_type() {
    let readme = dashboards("README.md");
    let (documented, emitted) = (documented(&readme), emitted());
    for (name, kind) in &emitted {
        assert_eq!(documented.get(name).map(String::as_str), Some(*kind), "the README's row of {name}");
    }
    for name in used(&readme) {
        assert!(emitted.contains_key(name), "the README names {name}, which the code does not emit");
    }
}

#[test]
fn dashboards_and_alerts_use_series_that_exist() {
    let mut series = BTreeSet::new();
    for (name, kind) in emitted() {
        if kind == "histogram" {
            series.extend(HISTOGRAM_SERIES.map(|suffix| format!("{name}{suffix}")));
        } else {
            series.insert(name);
        }
    }
    let queries = texts(&root().join("dashboards"), &["json", "yml"]);
    for (path, text) in &queries {
        for name in used(text) {
            assert!(series.contains(name), "{} uses {name}", path.display());
        }
    }
    for file in
        ["alerts.yml", "alerts.test.yml"].map(str::to_owned).into_iter().chain(BOARDS.map(|it| format!("{it}.json")))
    {
        let read = queries.iter().any(|(path, text)| path.ends_with(&file) && !used(text).is_empty());
        assert!(read, "{file} was not read");
    }
}

#[test]
fn every_alert_is_tested_and_says_what_to_do() {
    let (alerts, tests) = (dashboards("alerts.yml"), dashboards("alerts.test.yml"));
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(!rules.is_empty(), "the alerts were read");
    for rule in rules {
        let name = rule.lines().next().unwrap_or_default().trim();
        assert!(rule.contains(" runbook: "), "{name} has no runbook");
        assert!(tests.contains(name), "{name} is not tested");
    }
}
