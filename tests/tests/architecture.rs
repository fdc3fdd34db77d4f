//! Keeps the rules between the rooms: who may use whom, what is listed, how long a file may be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Longest file, in lines. Aim at 150.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The file of a room and the files in its folder.
fn room(name: &str) -> Vec<PathBuf> {
    let base = root().join("jobs/src").join(name);
    let mut files = rust_files(&base);
    files.push(base.with_extension("rs"));
    files
}

/// Code without comments and without the file's own tests.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn assert_free_of(files: &[PathBuf], words: &[&str]) {
    for file in files {
        let code = code(file);
        for word in words {
            assert!(!code.contains(word), "{} uses {word}", file.display());
        }
    }
}

/// Names that a path such as `crate::{store::…, queue}` may reach.
fn uses_of_rooms(code: &str) -> Vec<&'static str> {
    ["domain", "store", "queue", "ports", "kinds"]
        .into_iter()
        .filter(|room| {
            code.contains(&format!("crate::{room}"))
                || code.split("use crate::{").skip(1).any(|rest| {
                    let body = rest.split("};").next().unwrap_or_default();
                    body.lines().any(|line| line.trim_start().starts_with(&format!("{room}::")))
                        || body.trim_start().starts_with(&format!("{room}::"))
                })
        })
        .collect()
}

#[test]
fn rooms_use_only_those_above_them() {
    let allowed: [(&str, &[&str]); 5] = [
        ("domain", &["domain"]),
        ("store", &["domain", "store"]),
        ("ports", &["domain", "ports"]),
        ("queue", &["domain", "store", "ports", "queue"]),
        ("kinds", &["domain", "store", "ports", "queue", "kinds"]),
    ];
    for (name, allowed) in allowed {
        for file in room(name) {
            for used in uses_of_rooms(&code(&file)) {
                assert!(allowed.contains(&used), "{} (in {name}) uses {used}", file.display());
            }
        }
    }
}

#[test]
fn the_domain_is_pure() {
    assert_free_of(&room("domain"), &["sqlx", "tokio", "redis", "std::env", "Utc::now", "Instant::now", "apalis"]);
}

#[test]
fn kinds_know_no_engine_and_no_queue_library() {
    assert_free_of(&room("kinds"), &["apalis", "sqlx", "lancedb", "reqwest", "std::env", "tokio::spawn", "redis::"]);
}

#[test]
fn sql_stays_in_the_store() {
    let mut files = rust_files(&root().join("api/src"));
    files.extend(rust_files(&root().join("worker/src")));
    files.extend(room("queue"));
    assert_free_of(&files, &["sqlx"]);
}

#[test]
fn the_api_links_no_engine() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--package", "api", "--edges", "normal", "--prefix", "none", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    for package in ["lancedb", "lance", "ort", "fastembed", "arrow-array", "worker", "apalis", "genai"] {
        assert!(!tree.lines().any(|line| line.starts_with(&format!("{package} v"))), "api links {package}");
    }
    assert!(tree.lines().any(|line| line.starts_with("jobs v")), "the tree was read");
}

#[test]
fn the_load_test_speaks_http_only() {
    assert_free_of(&rust_files(&root().join("loadtest/src")), &["jobs::", "worker::", "sqlx", "redis::"]);
}

#[test]
fn every_kind_is_listed() {
    let list = code(&root().join("jobs/src/kinds.rs"));
    for file in rust_files(&root().join("jobs/src/kinds")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if code(&file).contains("impl Job for") {
            assert!(list.contains(&format!("visit::<{name}::")), "{name} is not visited");
            assert!(jobs::kinds::names().contains(&name.as_str()), "{name} has another wire name");
        }
    }
    assert_eq!(jobs::kinds::names().len(), 17);
}

#[test]
fn files_are_short_and_no_drawer_exists() {
    for folder in ["api", "jobs", "worker", "loadtest", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MAX_LINES, "{} has {lines} lines", file.display());
            let name = file.file_stem().unwrap().to_str().unwrap();
            let drawers = ["util", "utils", "common", "types", "helpers", "misc"];
            assert!(!drawers.contains(&name), "{} is a drawer", file.display());
        }
    }
}

#[test]
fn the_top_level_is_what_the_readme_says() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "api",
        "worker",
        "jobs",
        "migrations",
        "loadtest",
        "dashboards",
        "tests",
        "docker-compose.yml",
        "kubernetes.yml",
        "README.md",
        "Makefile",
        "scripts",
        "Dockerfile",
        "LICENSE",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with('.') || name == "target" || known.contains(&name.as_str()), "{name} is not expected");
    }
}
