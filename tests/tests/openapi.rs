//! The API's description: committed, valid, and true of the routes that are served.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use loadtest::client::NewTenant;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Stack, setting};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn committed() -> Value {
    let text = fs::read_to_string(root().join("api/openapi.json")).expect("api/openapi.json");
    serde_json::from_str(&text).expect("JSON")
}

/// Every operation: path, method in lower case, and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = METHODS.iter().filter_map(|method| {
            let method = method.as_str().to_ascii_lowercase();
            item.get(&method).map(|operation| (path.clone(), method, operation.clone()))
        });
        methods.collect::<Vec<_>>()
    });
    operations.collect()
}

#[test]
fn the_committed_description_is_what_the_code_says() {
    let generated = serde_json::to_value(api::openapi::document()).expect("plain data");
    assert!(committed() == generated, "api/openapi.json is out of date: run scripts/openapi and commit it");
}

#[test]
fn the_description_is_valid_openapi() {
    let checked = Command::new(setting("OPENAPI_VALIDATOR"))
        .args(["--schema", "3.1", "--validation-errors", "all"])
        .arg(root().join("api/openapi.json"))
        .output()
        .expect("the validator starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("OK"), "{said}{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_operation_says_who_may_call_it_what_it_takes_and_what_it_answers() {
    let document = committed();
    let security = |operation: &Value| operation.get("security").or(document.get("security")).cloned();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(security(&operation).is_some_and(|it| it.is_array()), "{name} names no credential");
        let open = operation["security"].as_array().is_some_and(|keys| keys.iter().all(|key| *key == json!({})));
        let responses = operation["responses"].as_object().expect("responses");
        let succeeds = responses.iter().any(|(status, _)| status.starts_with('2'));
        assert!(succeeds, "{name} never succeeds");
        let probe = ["/healthz", "/readyz", "/metrics"].contains(&path.as_str());
        let mut refusals = vec!["500"];
        if !probe {
            refusals.extend(["429", "503"]);
        }
        if !open {
            refusals.push("401");
        }
        for status in refusals {
            assert!(responses.contains_key(status), "{name} does not tell of {status}");
        }
        for (status, response) in responses {
            let Some(problem) = response["content"].get("application/problem+json") else { continue };
            let examples = problem["examples"].as_object();
            assert!(examples.is_some_and(|examples| !examples.is_empty()), "{name} {status} shows no problem");
            for kind in examples.into_iter().flat_map(|examples| examples.keys()) {
                let example = &document["components"]["examples"][kind]["value"];
                assert_eq!(example["status"].to_string(), *status, "{name}: {kind}");
            }
        }
    }
}

#[test]
fn every_described_handler_is_routed_and_none_goes_undescribed() {
    fn sources(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, into),
                false => into.push_str(&fs::read_to_string(path).unwrap()),
            }
        }
    }
    let mut code = String::new();
    sources(&root().join("api/src"), &mut code);
    let written: BTreeSet<&str> =
        code.split("operation_id = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let document = committed();
    let routed: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(written, routed.iter().map(String::as_str).collect());
    for way_around in [".route(", ".route_service(", ".nest_service(", "axum::routing"] {
        assert!(!code.contains(way_around), "{way_around} serves what is not described");
    }
}

#[tokio::test]
async fn every_described_operation_is_served_and_no_other_method() {
    let stack = Stack::builder().workers(0).env("RATE_LIMIT_PER_ADDRESS", "100000").start().await;
    let limits = json!({ "requests_per_minute": 1_000_000 });
    let tenant = NewTenant { name: "Described".into(), limits: Some(limits), ..NewTenant::default() };
    let (tenant, _) = stack.tenant_with(tenant).await;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let served: Value = client
        .get(format!("{}/openapi.json", stack.api_url))
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert!(served == committed(), "the process serves another description");
    let described: BTreeSet<(String, String)> =
        operations(&served).into_iter().map(|(path, method, _)| (path, method)).collect();
    for path in served["paths"].as_object().expect("paths").keys() {
        let url = format!("{}{}", stack.api_url, path.replace(['{', '}'], ""));
        for method in METHODS {
            let expected = described.contains(&(path.clone(), method.as_str().to_ascii_lowercase()));
            let answer =
                client.request(method.clone(), &url).bearer_auth(&tenant.api_key.key).send().await.expect("an answer");
            let status = answer.status().as_u16();
            assert_eq!(status != 405, expected, "{method} {path}: {status}");
            if status == 404 {
                let problem: Value = answer.json().await.expect("JSON");
                assert_ne!(problem["detail"], "There is no such path.", "{method} {path}");
            }
        }
    }
}
