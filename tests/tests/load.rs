//! The load generator against the real product: what it reports is what happened.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;
use tests::Stack;

/// Longest time the program may take; it bounds itself well below.
const LIMIT: Duration = Duration::from_secs(120);
const STALL: Duration = Duration::from_secs(2);

const CHAT: &str = r#"
description = "A short chat"

[[load]]
name = "chat"
arrivals = "poisson"
webhook = {}
limits = { min_answered_ratio = 1, min_delivered_ratio = 1, max_repeated_deliveries = 0 }

[[load.phase]]
rate = 4
duration = "4s"

[[load]]
name = "streams"
kind = "stream"
disconnect_after = 2
limits = { min_answered_ratio = 1 }

[[load.phase]]
rate = 2
duration = "4s"
"#;

const STALLED: &str = r#"
description = "Arrivals while nobody answers"

[[load]]
name = "chat"
limits = { max_p99_ms = 500 }

[[load.phase]]
rate = 10
duration = "5s"
"#;

/// Runs the program beside the test.
async fn loadtest(stack: &Stack, arguments: &[&str]) -> Output {
    let program = PathBuf::from(tests::setting("METACHAT_BIN_DIR")).join("loadtest");
    let metrics: Vec<String> = stack.workers.iter().map(|worker| format!("{}/metrics", worker.probes)).collect();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("API_URL", &stack.api_url)
        .env("ADMIN_KEY", stack.env("ADMIN_KEY"))
        .env("METRICS_URLS", metrics.join(","));
    let run = tokio::task::spawn_blocking(move || command.output().expect("the program starts"));
    tokio::time::timeout(LIMIT, run).await.expect("the program ends in time").unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a report")).expect("JSON")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A scenario's file in the stack's folder.
fn scenario(stack: &Stack, name: &str, content: &str) -> String {
    let path = stack.folder().join(format!("{name}.toml"));
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_scenario_is_run_reported_in_three_forms_and_planned_from() {
    let stack = Stack::start().await;
    let scenario = scenario(&stack, "chat", CHAT);
    let (json, page) = (stack.folder().join("report.json"), stack.folder().join("report.html"));
    // Plans need the processes by their names; these two have no children of the kind the real ones have.
    let api = format!("api={}", stack.api.as_ref().unwrap().id());
    let worker = format!("worker-1={}", stack.workers[0].process.id());
    let watched = ["--process", &api, "--process", &worker];
    let files = ["--json", json.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let run = loadtest(&stack, &[&["run", scenario.as_str()][..], &watched, &files].concat()).await;
    assert!(run.status.success(), "{}", text(&run));

    let report = read(&json);
    let [chat, streams] = [&report["loads"][0], &report["loads"][1]];
    let arrivals = chat["arrivals"].as_u64().unwrap();
    let stored = "select count(*) from messages m join tenants t on t.id = m.tenant_id
                  where role = 'customer' and status = 'answered' and t.name = 'Load chat 1'";
    assert_eq!(stack.database.count(stored).await, i64::try_from(arrivals).unwrap(), "{}", text(&run));
    assert_eq!(chat["answered"], arrivals);
    assert_eq!(chat["webhooks"]["delivered"], arrivals);
    assert_eq!(streams["outcomes"]["answered"], 8, "resumed streams were whole");
    assert!(chat["answer"]["p50"].as_f64().unwrap() > chat["submit"]["p50"].as_f64().unwrap());
    let runs = report["stages"]["complete"]["runs"].as_f64().unwrap();
    assert_eq!(runs, (arrivals + 8) as f64, "each message is completed once");
    assert!(report["processes"]["worker-1"]["cores"].as_f64().unwrap() > 0.0);

    let page = std::fs::read_to_string(page).unwrap();
    for part in ["chat: time to the answer", "chat: offered and finished", "Wait for a slot", "CPU"] {
        assert!(page.contains(part), "no chart {part}");
    }
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "the page stands alone, but holds {outside}");
    }

    let plan = loadtest(&stack, &["plan", "--from", json.to_str().unwrap(), "--target", "200/s"]).await;
    assert!(!plan.status.success() && text(&plan).contains("did not watch Postgres"), "{}", text(&plan));
    stack.finish().await;
}

/// Coordinated omission: a closed model would send nothing while nobody answers, and report one slow answer.
#[tokio::test]
async fn a_stalled_product_cannot_hide_its_stall() {
    // A stall is no reason to refuse what comes after it.
    let stack = Stack::builder().env("ADMISSION_MAX_POOL_WAIT_MS", "30000").start().await;
    let scenario = scenario(&stack, "stalled", STALLED);
    let json = stack.folder().join("report.json");
    let arguments = ["run", scenario.as_str(), "--json", json.to_str().unwrap()];
    let stall = async {
        let sent = "select count(*) from messages m join tenants t on t.id = m.tenant_id
                    where role = 'customer' and t.name like 'Load %'";
        tests::eventually("the load has begun", LIMIT, async || (stack.database.count(sent).await >= 10).then_some(()))
            .await;
        let api = stack.api.as_ref().unwrap();
        api.signal(libc::SIGSTOP);
        tokio::time::sleep(STALL).await;
        api.signal(libc::SIGCONT);
    };
    let (run, ()) = tokio::join!(loadtest(&stack, &arguments), stall);

    assert!(!run.status.success(), "a limit was broken: {}", text(&run));
    let report = read(&json);
    let chat = &report["loads"][0];
    assert_eq!(chat["arrivals"], 50, "arrivals came all the same");
    let ended: u64 = chat["outcomes"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(ended, 50, "and all came to an end: {chat}");
    assert!(chat["answered"].as_u64().unwrap() >= 40, "most with an answer: {chat}");
    // Twenty of fifty arrivals were due during the stall, and waited for a second at the mean.
    let slow = chat["seconds"].as_array().unwrap().iter().filter(|second| second["p50"].as_f64() > Some(400.0)).count();
    assert!(slow >= 2, "the stall shows in the seconds it lasted: {chat}");
    assert!(chat["answer"]["p90"].as_f64().unwrap() > 1_000.0, "{chat}");
    assert_eq!(report["limits"][0]["kept"], false);
    stack.finish().await;
}

#[tokio::test]
async fn a_scenario_that_makes_no_sense_and_a_product_elsewhere_are_refused() {
    let stack = Stack::start().await;
    let nonsense = scenario(&stack, "nonsense", "description = ''\nload = []\nspeed = 3");
    let remote = ["run", "short", "--api-url", "http://10.1.2.3:8080"];
    for (arguments, why) in [
        (vec!["run", nonsense.as_str()], "speed"),
        (vec!["run", "nothing-of-this-name"], "noisy-tenant"),
        (vec!["run", "short", "--rate", "0"], "rate"),
        (remote.to_vec(), "not on this machine"),
        (vec!["run", "slow-model"], "do not ask the fake model"),
    ] {
        let refused = loadtest(&stack, &arguments).await;
        assert!(!refused.status.success() && text(&refused).contains(why), "{arguments:?}: {}", text(&refused));
    }
    stack.finish().await;
}
