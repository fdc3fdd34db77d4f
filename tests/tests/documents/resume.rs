use jobs::{domain::ids::TenantId, ports::Index};

use super::*;
use crate::engines::open_index;

/// Several slices of them.
const SECTIONS: usize = 3000;

/// A worker dies in the middle of a long document: the next one goes on where the last slice ended, and no passage is there
/// twice.
#[tokio::test]
async fn a_killed_worker_costs_a_slice() {
    let mut stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let document = upload(&client, "parts.md", "text/markdown", sections(SECTIONS).into_bytes()).await;
    let done = eventually("a slice is done", LIMIT, async || {
        let progress = show(&client, &document.id, "").await["progress"].clone();
        progress["chunks_done"].as_u64().filter(|done| *done > 0)
    })
    .await;
    assert!(done < SECTIONS as u64, "{done} were done at once: the test needs more sections");
    // Somewhere in the next one.
    tokio::time::sleep(Duration::from_millis(700)).await;
    stack.workers[0].process.kill();
    let done = show(&client, &document.id, "").await["progress"]["chunks_done"].as_u64().unwrap().max(done);
    stack.workers.clear();
    stack.start_worker().await;
    let ready = client.settled_document(&document.id, 3 * LIMIT).await.unwrap();
    assert_eq!((ready.status.to_string().as_str(), ready.chunk_count), ("ready", Some(SECTIONS as u64)));
    let embedded = metric(&stack.workers[0], "metachat_chunks_embedded_total").await as u64;
    assert_eq!(embedded, SECTIONS as u64 - done, "finished slices are not repeated");
    let tenant: TenantId = tenant.id.parse().unwrap();
    let rows = open_index(stack.env("LANCEDB_URI")).await.count(tenant, None).await.unwrap();
    assert_eq!(rows, SECTIONS as u64, "no passage is there twice");
    let progress = show(&client, &document.id, "?wait=1").await["progress"].clone();
    assert_eq!((&progress["chunks_done"], &progress["chunks_total"]), (&SECTIONS.into(), &SECTIONS.into()));
    stack.finish().await;
}

/// The original is there when a document is tried again, and a document that is not failed is left alone.
#[tokio::test]
async fn a_failed_document_is_tried_again_from_its_original() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let folder = std::path::PathBuf::from(stack.env("ORIGINALS_URI")).join(tenant.id.split_once('_').unwrap().1);
    let document = upload(&client, "a.txt", "text/plain", b"The stove burns gas.".to_vec()).await;
    let path = format!("/v1/documents/{}/retry", document.id);
    assert_eq!(client.settled_document(&document.id, LIMIT).await.unwrap().status.to_string(), "ready");
    let left = client.call(Method::POST, &path, None).await.unwrap();
    assert_eq!((left.status, &left.body["status"]), (202, &"ready".into()));

    // As a store would be that lost it, and then has it again.
    let stored = folder.join(document.id.split_once('_').unwrap().1).join("1/original");
    let bytes = std::fs::read(&stored).unwrap();
    assert_eq!(bytes, b"The stove burns gas.");
    std::fs::remove_file(&stored).unwrap();
    let owner = stack.database.owner().await;
    sqlx::query("update documents set status = 'stale', ready_version = null").execute(owner).await.unwrap();
    client.call(Method::POST, &path, None).await.unwrap();
    let failed = show(&client, &document.id, "?wait=30").await;
    assert_eq!((&failed["status"], &failed["reason"]), (&"failed".into(), &"The uploaded file is missing.".into()));
    std::fs::write(&stored, bytes).unwrap();
    let again = client.call(Method::POST, &path, None).await.unwrap();
    assert_eq!(again.body["status"], "pending");
    let ready = show(&client, &document.id, "?wait=30").await;
    assert_eq!((&ready["status"], ready.get("reason")), (&"ready".into(), None));
    let other = stack.tenant("Next door").await.1;
    assert_eq!(other.call(Method::POST, &path, None).await.unwrap_err().status(), Some(404));
    stack.finish().await;
}
