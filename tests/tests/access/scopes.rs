//! Every operation takes the scope it says it takes, and no other.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};
use tests::Stack;

use super::{Browser, ask, key, person, problem};

const SCOPES: [&str; 6] = ["read", "messages:write", "documents:write", "webhooks:write", "jobs:write", "admin"];
/// An id of any kind that names nothing.
const NOBODY: &str = "01983f2ab3c47d1e9f00a1b2c3d4e5f6";

/// An operation, and what it is open to: schemes with their scopes; none at all for one that is open to everybody.
struct Operation {
    method: Method,
    path: String,
    open_to: BTreeMap<String, Vec<String>>,
}

async fn operations(stack: &Stack) -> Vec<Operation> {
    let document: Value = reqwest::get(format!("{}/openapi.json", stack.api_url)).await.unwrap().json().await.unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let example = operation["parameters"].as_array().into_iter().flatten().find(|it| it["in"] == "path");
            let id = example.map_or(NOBODY, |parameter| parameter["example"].as_str().unwrap());
            let requirements =
                operation["security"].as_array().unwrap_or_else(|| panic!("{method} {path} says nothing"));
            let open_to = requirements.iter().flat_map(|requirement| {
                serde_json::from_value::<BTreeMap<String, Vec<String>>>(requirement.clone()).unwrap()
            });
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path
                    .split('/')
                    .map(|part| if part.starts_with('{') { id } else { part })
                    .collect::<Vec<_>>()
                    .join("/"),
                open_to: open_to.collect(),
            });
        }
    }
    assert!(operations.len() > 40, "{}", operations.len());
    operations
}

fn body(method: &Method) -> Option<Value> {
    (*method != Method::GET).then(|| json!({}))
}

#[tokio::test]
async fn every_operation_takes_its_scope_and_no_other() {
    let stack = Stack::builder().workers(0).start().await;
    let (_, admin) = stack.tenant("Fellmark").await;
    let mut holders = Vec::new();
    for scope in SCOPES {
        holders.push((scope, key(&admin, &[scope]).await.1));
    }
    let mut asked = BTreeMap::<String, usize>::new();
    for Operation { method, path, open_to } in operations(&stack).await {
        let Some([wanted]) = open_to.get("tenant_key").map(Vec::as_slice) else { continue };
        *asked.entry(wanted.clone()).or_default() += 1;
        assert_eq!(open_to.get("console_session").map(Vec::as_slice), Some(&[wanted.clone()][..]), "{method} {path}");
        for (scope, holder) in &holders {
            let (status, answer) = ask(holder, method.clone(), &path, body(&method)).await;
            match *scope == wanted || *scope == "admin" {
                true => assert!(![401, 403].contains(&status), "{method} {path} with {scope}: {answer}"),
                false => {
                    assert_eq!((status, problem(&answer)), (403, "insufficient-scope"), "{method} {path} with {scope}");
                    assert_eq!(answer["scope"], json!(wanted), "{method} {path}");
                }
            }
        }
    }
    assert_eq!(asked.keys().map(String::as_str).collect::<Vec<_>>().len(), SCOPES.len(), "{asked:?}");
}

#[tokio::test]
async fn no_audience_opens_anothers_operations() {
    let stack = Stack::builder().workers(0).start().await;
    let (tenant, key) = stack.tenant("Fellmark").await;
    let operator = stack.admin();
    let nobody = key.with_key(&format!("mk_live_{}", "0".repeat(64)));
    let (_, mut owner) = person(&stack, &tenant.id, "ada@example.com", "owner").await;
    let mut stranger = Browser::new(&stack);
    for Operation { method, path, open_to } in operations(&stack).await {
        if open_to.is_empty() {
            continue;
        }
        let name = format!("{method} {path}");
        let with = async |client| ask(client, method.clone(), &path, body(&method)).await.0;
        assert_eq!(with(&nobody).await, 401, "{name}");
        assert_eq!(stranger.ask(method.clone(), &path, body(&method)).await.0, 401, "{name}");
        if !open_to.contains_key("admin_key") {
            assert_eq!(with(&operator).await, 401, "{name} with the operator's key");
        }
        if !open_to.contains_key("tenant_key") {
            assert_eq!(with(&key).await, 401, "{name} with a tenant's key");
        }
        if !open_to.contains_key("console_session") {
            assert_eq!(owner.ask(method.clone(), &path, body(&method)).await.0, 401, "{name} with a session");
        }
    }
}
