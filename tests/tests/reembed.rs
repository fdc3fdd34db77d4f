//! Tenants move to another embedding model while they search, and no search is the worse for it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jobs::{
    domain::ids::TenantId,
    ports::{Collection, Index},
};
use loadtest::client::{Client, Document, Search, TextUpload};
use reqwest::Method;
use serde_json::Value;
use tests::{Stack, eventually, setting};
use tokio::task::JoinHandle;
use worker::engines::embedder;

use crate::engines::{model_dir, model_id, open_index};

const LIMIT: Duration = Duration::from_secs(60);
/// Several slices of them.
const SECTIONS: usize = 700;

/// The workers' model under another name, for all that anybody can tell another model.
struct NextModel {
    folder: tempfile::TempDir,
}

impl NextModel {
    const NAME: &str = "another-model";

    fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join(Self::NAME);
        std::fs::create_dir(&own).expect("a folder");
        for file in std::fs::read_dir(model_dir()).expect("the model") {
            let file = file.expect("a file").path();
            std::fs::copy(&file, own.join(file.file_name().expect("a name"))).expect("a copy");
        }
        Self { folder }
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join(Self::NAME)
    }

    fn id(&self) -> String {
        embedder::model_id(&self.directory()).expect("a model")
    }
}

/// `metachat index …`
async fn index(stack: &Stack, arguments: &[&str]) -> String {
    let mut command = Command::new(Path::new(&setting("METACHAT_BIN_DIR")).join("metachat"));
    command.arg("index").args(arguments).env("DATABASE_URL", stack.database.url());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// What `metachat index models` says of a model.
async fn standing(stack: &Stack, model: &str) -> Value {
    let models: Value = serde_json::from_str(&index(stack, &["models", "--json"]).await).unwrap();
    let data = models["data"].as_array().unwrap();
    data.iter().find(|of| of["model"] == model).unwrap_or_else(|| panic!("{model} in {models}")).clone()
}

async fn moved(stack: &Stack, model: &str, tenants: usize, limit: Duration) {
    eventually("every tenant has moved", limit, async || {
        let of = standing(stack, model).await;
        (of["tenants"] == tenants && of["building_for_tenants"] == 0).then_some(())
    })
    .await;
}

async fn upload(client: &Client, name: &str, text: String) -> Document {
    let (name, content_type) = (name.to_owned(), "text/markdown".to_owned());
    client.upload_text(&TextUpload { name, content_type, text, ..TextUpload::default() }).await.expect("an upload")
}

fn sections(of: &str, count: usize) -> String {
    (0..count).map(|n| format!("## Part {n}\n\nPart number {n} of the {of} weighs {n} grams.\n\n")).collect()
}

/// Searches without a pause until it is told to stop; returns how many hits each had.
fn search_on(client: &Client, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<usize>> {
    let (client, stop) = (client.clone(), stop.clone());
    tokio::spawn(async move {
        let mut hits = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let search = Search { query: "what does part number 17 weigh?".into(), ..Search::default() };
            hits.push(client.search(&search).await.expect("a search that succeeds").len());
        }
        hits
    })
}

fn tenant_id(id: &str) -> TenantId {
    id.parse().unwrap()
}

#[tokio::test]
async fn tenants_move_to_another_model_while_they_search() {
    let model = NextModel::make();
    let next = model.id();
    let stack = Stack::builder().env("EMBEDDING_NEXT_MODEL_DIR", model.directory().display().to_string()).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, neighbour) = stack.tenant("Next door").await;
    let document = upload(&client, "tent.md", sections("tent", SECTIONS)).await;
    let theirs = upload(&neighbour, "boot.md", sections("boot", 40)).await;
    client.settled_document(&document.id, 3 * LIMIT).await.unwrap();
    neighbour.settled_document(&theirs.id, LIMIT).await.unwrap();
    let before = standing(&stack, &model_id()).await;
    assert_eq!((&before["tenants"], &before["chunks"]), (&2.into(), &(SECTIONS + 40).into()), "{before}");

    let stop = Arc::new(AtomicBool::new(false));
    let searching = [search_on(&client, &stop), search_on(&neighbour, &stop)];
    let said = index(&stack, &["reembed", "--model", NextModel::NAME]).await;
    assert!(said.starts_with(&format!("2 tenants move to {next}: 2 documents")), "{said}");
    eventually("the neighbour has moved, the long document is on its way", LIMIT, async || {
        let of = standing(&stack, &next).await;
        (of["tenants"] == 1 && of["building_for_tenants"] == 1).then_some(())
    })
    .await;
    // Documents that come meanwhile are taken along.
    let late = upload(&client, "late.md", sections("stove", 30)).await;
    let late_ready = client.settled_document(&late.id, LIMIT).await.unwrap();
    assert_eq!(late_ready.status.to_string(), "ready");
    moved(&stack, &next, 2, 3 * LIMIT).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    for hits in searching {
        let hits = hits.await.unwrap();
        eprintln!("{} searches", hits.len());
        assert!(hits.len() > 10 && hits.iter().all(|hits| *hits == 5), "{hits:?}");
    }
    stack.idle(LIMIT).await;
    let tables = open_index(stack.env("LANCEDB_URI")).await;
    let rows = async |tenant: &str, model: &str| {
        tables.rows(Collection { tenant: tenant_id(tenant), model }).await.unwrap() as usize
    };
    assert_eq!((rows(&tenant.id, &next).await, rows(&other.id, &next).await), (SECTIONS + 30, 40));
    let after = standing(&stack, &next).await;
    assert_eq!(after["chunks"], SECTIONS + 70, "{after}");

    // Query and rows are the new model's; no id of a neighbour's document reaches across.
    let asked = |ids: Vec<String>| Search { query: "stove".into(), document_ids: ids, ..Search::default() };
    let found = client.search(&asked(vec![late.id.clone()])).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|hit| hit.document_id == late.id));
    let record = "select count(*) from searches where retrieval ->> 'model' like 'another-model@%'";
    assert!(stack.database.count(record).await > 0);
    assert!(neighbour.search(&asked(vec![late.id.clone(), document.id.clone()])).await.unwrap().is_empty());

    // The old tables go when no search can be reading them any more, and only then.
    let upkeep = async || {
        let set = "update schedules set next_at = now(), last_success_at = null where name = 'maintain_index'";
        sqlx::query(set).execute(stack.database.owner().await).await.unwrap();
        eventually("the upkeep", LIMIT, async || {
            let done = "select count(*) from schedules where name = 'maintain_index' and last_success_at is not null";
            (stack.database.count(done).await == 1).then_some(())
        })
        .await;
    };
    upkeep().await;
    assert_eq!(rows(&tenant.id, &model_id()).await, SECTIONS + 30, "a search may still read it");
    let changed = "update tenants set embedding_changed_at = now() - interval '11 minutes'";
    sqlx::query(changed).execute(stack.database.owner().await).await.unwrap();
    upkeep().await;
    for tenant in [&tenant.id, &other.id] {
        let names = std::fs::read_dir(stack.env("LANCEDB_URI")).unwrap().map(|entry| entry.unwrap().file_name());
        let own = tenant.split_once('_').unwrap().1;
        let own: Vec<_> = names.filter(|name| name.to_str().unwrap().starts_with(own)).collect();
        assert_eq!(own.len(), 1, "{own:?}");
    }
    assert_eq!(client.search(&asked(Vec::new())).await.unwrap().len(), 5);
    stack.finish().await;
}

#[tokio::test]
async fn a_killed_worker_costs_a_move_nothing_but_time() {
    let model = NextModel::make();
    let next = model.id();
    let mut stack =
        Stack::builder().env("EMBEDDING_NEXT_MODEL_DIR", model.directory().display().to_string()).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let document = upload(&client, "tent.md", sections("tent", SECTIONS)).await;
    client.settled_document(&document.id, 3 * LIMIT).await.unwrap();
    index(&stack, &["reembed", "--model", &next, "--tenant", &tenant.id]).await;
    eventually("a slice is done", LIMIT, async || {
        let under_way = "select count(*) from jobs where kind = 'reembed_document' and (payload ->> 'done')::int > 0";
        (stack.database.count(under_way).await == 1).then_some(())
    })
    .await;
    stack.workers[0].process.kill();
    stack.workers.clear();
    assert_eq!(standing(&stack, &next).await["documents_done"], 0);
    stack.start_worker().await;
    moved(&stack, &next, 1, 3 * LIMIT).await;
    stack.idle(LIMIT).await;
    let tables = open_index(stack.env("LANCEDB_URI")).await;
    let rows = tables.rows(Collection { tenant: tenant_id(&tenant.id), model: &next }).await.unwrap();
    assert_eq!(rows, SECTIONS as u64, "no passage is there twice");
    stack.finish().await;
}

#[tokio::test]
async fn what_cannot_be_embedded_again_is_stale_and_holds_nothing_up() {
    let model = NextModel::make();
    let next = model.id();
    let stack = Stack::builder().env("EMBEDDING_NEXT_MODEL_DIR", model.directory().display().to_string()).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let lost = upload(&client, "lost.md", "The lamp burns oil.".into()).await;
    let kept = upload(&client, "kept.md", "The stove burns gas.".into()).await;
    for document in [&lost, &kept] {
        client.settled_document(&document.id, LIMIT).await.unwrap();
    }
    let folder = PathBuf::from(stack.env("ORIGINALS_URI")).join(tenant.id.split_once('_').unwrap().1);
    std::fs::remove_dir_all(folder.join(lost.id.split_once('_').unwrap().1)).unwrap();
    index(&stack, &["reembed", "--model", &next]).await;
    moved(&stack, &next, 1, LIMIT).await;
    let shown = client.call(Method::GET, &format!("/v1/documents/{}", lost.id), None).await.unwrap().body;
    assert_eq!((&shown["status"], &shown["searchable_version"]), (&"stale".into(), &Value::Null), "{shown}");
    assert!(shown["reason"].as_str().unwrap().contains("upload it again"), "{shown}");
    let burns = Search { query: "what does it burn?".into(), ..Search::default() };
    let found = client.search(&burns).await.unwrap();
    assert_eq!(found.iter().map(|hit| &hit.document_id).collect::<Vec<_>>(), [&kept.id]);
    // Uploaded again, it is whole again.
    let again = upload(&client, "lost.md", "The lamp burns petroleum.".into()).await;
    client.settled_document(&again.id, LIMIT).await.unwrap();
    assert_eq!(client.search(&burns).await.unwrap().len(), 2);
    // A model that no worker has loaded is no model to move to.
    let mut command = Command::new(Path::new(&setting("METACHAT_BIN_DIR")).join("metachat"));
    command.args(["index", "reembed", "--model", "none"]).env("DATABASE_URL", stack.database.url());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    stack.finish().await;
}
