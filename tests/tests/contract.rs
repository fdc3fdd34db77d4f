//! The api as its description tells: Schemathesis makes requests of every operation from `openapi.json`, valid ones,
//! broken ones and sequences of them, and checks each answer. `CONTRACT_MINUTES` makes it as long as that.

use std::{env, path::Path, time::Duration};

use loadtest::client::NewTenant;
use serde_json::{Value, json};
use tests::{Stack, setting};
use tokio::process::Command;

/// Seconds of the two runs when nothing else is asked for.
const TENANT: u64 = 50;
const OPERATOR: u64 = 15;
/// Operations that may end the credential they are called with.
const ENDING: [&str; 2] = ["revoke_api_key", "rotate_api_key"];
/// Beyond the asked time: the phases that have no bound of their own, and a report.
const SLACK: Duration = Duration::from_secs(120);

/// The ids of operations that one credential opens.
fn opened_by(document: &Value, credential: &str) -> Vec<String> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.values().flat_map(|item| item.as_object().expect("operations").values());
    let opened = operations.filter(|operation| {
        let keys = operation.get("security").or(document.get("security")).and_then(Value::as_array);
        keys.is_some_and(|keys| keys.iter().any(|key| key.get(credential).is_some() || *key == json!({})))
    });
    opened.filter_map(|operation| operation["operationId"].as_str().map(str::to_owned)).collect()
}

async fn run(stack: &Stack, operations: &[String], key: &str, seconds: u64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut schemathesis = Command::new(setting("SCHEMATHESIS"));
    schemathesis
        .arg("--config-file")
        .arg(root.join("schemathesis.toml"))
        .arg("run")
        .arg(root.join("../api/openapi.json"))
        .args(["--url", &stack.api_url, "--header", &format!("Authorization: Bearer {key}")])
        // The first is taken by `valid_data_is_accepted`, which knows what no schema can say. A header that nobody knows is
        // no violation, and a revoked key stays to be looked at.
        .args([
            "--checks",
            "all",
            "--exclude-checks",
            "positive_data_acceptance,negative_data_rejection,use_after_free",
        ])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--max-time", &seconds.to_string(), "--request-timeout", "70", "--continue-on-failure"])
        .args(["--warnings", "off", "--generation-database", "none", "--no-color"])
        .args(operations.iter().flat_map(|id| ["--include-operation-id", id]))
        .env("SCHEMATHESIS_HOOKS", root.join("schemathesis_hooks.py"))
        .current_dir(stack.folder())
        .kill_on_drop(true);
    let limit = Duration::from_secs(seconds) + SLACK;
    let output = tokio::time::timeout(limit, schemathesis.output()).await.expect("in time").expect("Schemathesis runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let minutes = env::var("CONTRACT_MINUTES").ok().map(|minutes| minutes.parse::<u64>().expect("whole minutes"));
    let total = minutes.map_or(TENANT + OPERATOR, |minutes| minutes * 60);
    let operator = total * OPERATOR / (TENANT + OPERATOR);
    let stack = Stack::builder()
        .env("RATE_LIMIT_PER_ADDRESS", "10000000")
        .env("ADMISSION_MAX_BACKLOG", "10000000")
        .env("ADMISSION_MAX_POOL_WAIT_MS", "60000")
        .env("STRIPE_WEBHOOK_SECRETS", "whsec_contract")
        // Thousands of made-up addresses: none of them is worth a second try.
        .env("WEBHOOK_RETRY_MAX_ATTEMPTS", "1")
        .env("WEBHOOK_TIMEOUT", "500")
        .start()
        .await;
    let plenty = 1_000_000_000;
    let limits = json!({
        "requests_per_minute": 1_000_000, "messages_per_minute": 1_000_000,
        "team": plenty, "messages": plenty, "conversations": plenty, "documents": plenty, "api_calls": plenty,
    });
    let tenant = NewTenant { name: "Contract".into(), limits: Some(limits), ..NewTenant::default() };
    let (tenant, _) = stack.tenant_with(tenant).await;
    let document: Value = serde_json::from_str(include_str!("../../api/openapi.json")).expect("JSON");
    let mut operations = opened_by(&document, "tenant_key");
    // A run whose key revoked itself would see nothing but 401 from then on.
    operations.retain(|id| !ENDING.contains(&id.as_str()));
    run(&stack, &operations, &tenant.api_key.key, total - operator).await;
    run(&stack, &opened_by(&document, "admin_key"), stack.admin().key(), operator).await;

    // The worker still gets through what was asked of it.
    stack.idle(Duration::from_secs(120)).await;
}
