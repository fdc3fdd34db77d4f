//! The search index is looked after, what is wrong with it is told, and it is made again from the originals.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use loadtest::client::{Client, Search, TextUpload};
use tests::{Stack, eventually, setting};

const LIMIT: Duration = Duration::from_secs(60);

async fn upload(client: &Client, text: &str) -> String {
    let upload = TextUpload {
        name: "shop.md".into(),
        content_type: "text/markdown".into(),
        text: text.into(),
        ..TextUpload::default()
    };
    let document = client.upload_text(&upload).await.unwrap();
    client.settled_document(&document.id, LIMIT).await.unwrap();
    document.id
}

/// The folder of a tenant's table.
fn table(stack: &Stack, tenant: &str) -> PathBuf {
    let name = tenant.split_once('_').expect("a prefix").1.to_owned();
    let tables = std::fs::read_dir(stack.env("LANCEDB_URI")).unwrap().map(|entry| entry.unwrap().path());
    tables.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).expect("a table")
}

async fn run(binary: &str, stack: &Stack, arguments: &[&str]) {
    let mut command = Command::new(Path::new(&setting("METACHAT_BIN_DIR")).join(binary));
    command.args(arguments).env("DATABASE_URL", stack.database.url()).env("LANCEDB_URI", stack.env("LANCEDB_URI"));
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{binary} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Has the index looked after now, and waits until the worker's metrics hold a line.
async fn upkeep_says(stack: &Stack, line: &str) {
    let set = "update schedules set next_at = now(), last_success_at = null where name = 'maintain_index'";
    sqlx::query(set).execute(stack.database.owner().await).await.unwrap();
    eventually(line, LIMIT, async || {
        let metrics = reqwest::get(format!("{}/metrics", stack.workers[0].probes)).await.ok()?.text().await.ok()?;
        metrics.lines().any(|found| found == line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lost_or_unreadable_table_is_told_and_made_again() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, neighbour) = stack.tenant("Next door").await;
    let document = upload(&client, "# Returns\n\nYou can return a tent within 60 days.").await;
    upload(&neighbour, "# Hours\n\nWe are open until six.").await;
    let tents = Search { query: "return a tent".into(), ..Search::default() };
    upkeep_says(&stack, "metachat_index_chunks_missing 0").await;

    // Lost.
    std::fs::remove_dir_all(table(&stack, &tenant.id)).unwrap();
    upkeep_says(&stack, "metachat_index_chunks_missing 1").await;
    run("metachat", &stack, &["index", "rebuild", "--tenant", &tenant.id]).await;
    stack.idle(LIMIT).await;
    let found = client.search(&tents).await.unwrap();
    assert_eq!(found.iter().map(|hit| &hit.document_id).collect::<Vec<_>>(), [&document]);
    upkeep_says(&stack, "metachat_index_chunks_missing 0").await;

    // Unreadable.
    for version in std::fs::read_dir(table(&stack, &tenant.id).join("_versions")).unwrap() {
        std::fs::write(version.unwrap().path(), "no manifest").unwrap();
    }
    upkeep_says(&stack, "metachat_index_tenants_failing 1").await;
    run("metachat-worker", &stack, &["drop-index", "--tenant", &tenant.id]).await;
    run("metachat", &stack, &["index", "rebuild"]).await;
    stack.idle(LIMIT).await;
    upkeep_says(&stack, "metachat_index_tenants_failing 0").await;
    let found = client.search(&tents).await.unwrap();
    assert_eq!(found.iter().map(|hit| &hit.document_id).collect::<Vec<_>>(), [&document], "no chunk is there twice");
    assert_eq!(neighbour.search(&tents).await.unwrap().len(), 1, "the neighbour keeps what it has");
    assert!(table(&stack, &other.id).is_dir());
    stack.finish().await;
}
