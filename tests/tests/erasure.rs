//! Erasure: of a document, a contact and a tenant, each with a receipt that is true, and nobody else touched.

mod contact;
mod document;
mod tenant;

use std::{path::Path, time::Duration};

use jobs::{
    domain::ids::TenantId,
    ports::{Collection, Embedding, Index, SearchFilter},
};
use loadtest::client::{Client, Document, Message, Submission, TextUpload};
use reqwest::Method;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tests::{Stack, eventually};
use uuid::Uuid;
use worker::engines::index::LanceIndex;

use crate::engines::{model_id, open_index};

const LIMIT: Duration = Duration::from_secs(60);
/// Numbers in a vector of the tests' model.
const DIMENSION: usize = 384;

async fn upload(client: &Client, name: &str, text: &str) -> Document {
    let (name, content_type, text) = (name.into(), "text/markdown".into(), text.into());
    let upload = TextUpload { name, content_type, text, ..TextUpload::default() };
    let document = client.upload_text(&upload).await.expect("an upload");
    client.settled_document(&document.id, LIMIT).await.expect("a settled document")
}

async fn ask(client: &Client, submission: Submission) -> Message {
    let submitted = client.submit(&submission).await.expect("accepted");
    client.final_message(&submitted.message.id, LIMIT).await.expect("a final message")
}

/// Asks for an erasure; returns its id.
async fn erase(client: &Client, path: &str) -> String {
    let reply = client.call(Method::DELETE, path, None).await.expect(path);
    assert_eq!(reply.status, 202);
    assert_eq!(reply.body["status"], "running");
    let id = reply.body["erasure_id"].as_str().expect("an id").to_owned();
    assert_eq!(reply.body["links"]["receipt"], format!("/v1/erasures/{id}"));
    id
}

async fn receipt(client: &Client, id: &str) -> Value {
    client.call(Method::GET, &format!("/v1/erasures/{id}"), None).await.expect("a receipt").body
}

/// Waits until an erasure has finished; returns its receipt.
async fn finished(client: &Client, id: &str) -> Value {
    let receipt = eventually("the erasure has finished", LIMIT, async || {
        let receipt = receipt(client, id).await;
        assert_ne!(receipt["status"], "failed", "{receipt}");
        (receipt["status"] == "finished").then_some(receipt)
    })
    .await;
    assert!(receipt["finished_at"].is_string() && receipt["request_id"].is_string(), "{receipt}");
    let left = receipt["proof"]["rows"].as_object().expect("a proof");
    assert!(!left.is_empty() && left.values().all(|rows| rows == 0), "{receipt}");
    receipt
}

/// How many rows of a tenant each table holds, as the owner of the schema counts them.
async fn rows_of(owner: &PgPool, tenant: Uuid) -> Vec<(String, i64)> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    let mut counts = Vec::new();
    for table in tables {
        let count = format!("select count(*) from {table} where tenant_id = $1");
        let rows = sqlx::query_scalar(AssertSqlSafe(count)).bind(tenant).fetch_one(owner).await.unwrap();
        counts.push((table, rows));
    }
    counts
}

fn tenant_id(id: &str) -> TenantId {
    id.parse().expect("a tenant's id")
}

/// The index as another process opens it.
async fn index(stack: &Stack) -> LanceIndex {
    open_index(stack.env("LANCEDB_URI")).await
}

fn any_vector() -> Embedding {
    let length = (DIMENSION as f32).sqrt();
    std::iter::repeat_n(1.0 / length, DIMENSION).collect()
}

/// What a search of either kind finds in a tenant's table.
async fn hits(stack: &Stack, tenant: TenantId, words: &str) -> usize {
    let index = index(stack).await;
    let all = SearchFilter::default();
    let model = model_id();
    let collection = Collection { tenant, model: &model };
    let near = index.search_vector(collection, &any_vector(), &all, 100).await.expect("a search").len();
    near + index.search_text(collection, words, &any_vector(), &all, 100).await.expect("a search").len()
}

async fn vectors(stack: &Stack, tenant: TenantId) -> u64 {
    index(stack).await.count(tenant, None).await.expect("a count")
}

/// The files below a folder that hold a text, in any case.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else {
            let bytes = std::fs::read(&path).expect("a file").to_ascii_lowercase();
            if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}
