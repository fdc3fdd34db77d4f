use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::Index,
};
use loadtest::client::{Search, TextUpload};
use serde_json::json;

use super::*;
use crate::engines::open_index;

fn text(name: &str, text: &str) -> Value {
    json!({ "name": name, "content_type": "text/markdown", "text": text })
}

/// Status and body of an upload of a new version.
async fn put(client: &Client, id: &str, body: &Value) -> (u16, Value) {
    let reply = client.call(Method::PUT, &format!("/v1/documents/{id}"), Some(body)).await.expect("an answer");
    (reply.status, reply.body)
}

async fn post(client: &Client, body: &Value) -> (u16, Value) {
    let reply = client.call(Method::POST, "/v1/documents", Some(body)).await.expect("an answer");
    (reply.status, reply.body)
}

async fn found(client: &Client, query: &str) -> Vec<String> {
    let search = Search { query: query.into(), ..Search::default() };
    client.search(&search).await.expect("an answer").into_iter().map(|hit| hit.content).collect()
}

/// Files of the installation's originals.
fn originals(stack: &Stack) -> Vec<String> {
    fn files(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => files(&path, found),
                false => found.push(path.display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    files(std::path::Path::new(stack.env("ORIGINALS_URI")), &mut found);
    found.retain(|file| file.ends_with("/original"));
    found.sort();
    found
}

#[tokio::test]
async fn the_same_upload_again_is_unchanged() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    let body = text("stove.md", "# Stove\n\nThe stove burns gas.");
    let (status, first) = post(&client, &body).await;
    assert_eq!((status, &first["unchanged"], &first["version"]), (202, &false.into(), &1.into()));
    let id = first["id"].as_str().unwrap();
    client.settled_document(id, LIMIT).await.unwrap();
    let (status, again) = post(&client, &body).await;
    assert_eq!((status, &again["id"], &again["unchanged"]), (200, &first["id"], &true.into()));
    assert_eq!(again["status"], "ready");
    let (status, again) = put(&client, id, &body).await;
    assert_eq!((status, &again["version"], &again["unchanged"]), (200, &1.into(), &true.into()));
    assert_eq!(stack.database.count("select count(*) from document_versions").await, 1);
    assert_eq!(originals(&stack).len(), 1, "no second copy");

    // Another name, other tags, another tenant: another document.
    let tagged = json!({ "name": "stove.md", "content_type": "text/markdown", "text": body["text"], "tags": ["gas"] });
    for (client, body) in [(&client, text("hob.md", body["text"].as_str().unwrap())), (&client, tagged)] {
        assert_eq!(post(client, &body).await.0, 202, "{body}");
    }
    assert_eq!(post(&neighbour, &body).await.0, 202);
    assert_eq!(stack.database.count("select count(*) from documents").await, 4);
    stack.idle(LIMIT).await;

    // Two at once are one.
    let twice = text("lamp.md", "The lamp burns oil.");
    let (one, other) = tokio::join!(post(&client, &twice), post(&client, &twice));
    assert_eq!(one.1["id"], other.1["id"], "{one:?} {other:?}");
    assert_eq!(stack.database.count("select count(*) from documents").await, 5);
    stack.idle(LIMIT).await;
    assert_eq!(originals(&stack).len(), 5);
    stack.finish().await;
}

/// A new version of a long document is embedded while searches run: each finds the old version or the new one, never neither
/// and never both.
#[tokio::test]
async fn a_new_version_takes_the_old_ones_place_at_once() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let edition = |word: &str| {
        (0..400).map(|n| format!("## Part {n}\n\nThe {word} of part {n} weighs {n} grams.\n\n")).collect::<String>()
    };
    let (_, document) = post(&client, &text("parts.md", &edition("tent"))).await;
    let id = document["id"].as_str().unwrap().to_owned();
    client.settled_document(&id, LIMIT).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let searching = tokio::spawn({
        let (client, done) = (client.clone(), done.clone());
        async move {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let hits = found(&client, "what does part 17 weigh?").await;
                let (old, new) =
                    (hits.iter().any(|hit| hit.contains("tent")), hits.iter().any(|hit| hit.contains("boot")));
                seen.push((hits.len(), old, new));
            }
            seen
        }
    });
    let (status, accepted) = put(&client, &id, &text("parts.md", &edition("boot"))).await;
    assert_eq!((status, &accepted["version"]), (202, &2.into()));
    let shown = show(&client, &id, "").await;
    assert_eq!((&shown["version"], &shown["searchable_version"]), (&2.into(), &1.into()), "{shown}");
    let ready = client.settled_document(&id, LIMIT).await.unwrap();
    assert_eq!(ready.status.to_string(), "ready");
    // Some searches after it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    done.store(true, Ordering::Relaxed);
    let seen = searching.await.unwrap();
    assert!(seen.iter().all(|(hits, old, new)| *hits == 5 && old != new), "{seen:?}");
    assert!(!seen.first().unwrap().2 && seen.last().unwrap().2, "{seen:?}");
    let switch = seen.iter().position(|(_, _, new)| *new).unwrap();
    assert!(
        seen[switch..].iter().all(|(_, old, _)| !old),
        "no search after the switch finds the old version: {seen:?}"
    );
    eprintln!("{} searches while version 2 was embedded, {} after", switch, seen.len() - switch);

    stack.idle(LIMIT).await;
    let index = open_index(stack.env("LANCEDB_URI")).await;
    assert_eq!(
        index.count(tenant.id.parse::<TenantId>().unwrap(), None).await.unwrap(),
        400,
        "the old chunks are gone"
    );
    let kept = originals(&stack);
    assert!(kept.len() == 1 && kept[0].ends_with("/2/original"), "{kept:?}");
    stack.finish().await;
}

#[tokio::test]
async fn a_failed_version_leaves_the_old_one_searchable() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (_, stranger) = stack.tenant("Next door").await;
    let (_, document) = post(&client, &text("stove.md", "The stove burns gas.")).await;
    let id = document["id"].as_str().unwrap();
    client.settled_document(id, LIMIT).await.unwrap();
    let path = format!("/v1/documents/{id}");
    let theirs = stranger.call(Method::PUT, &path, Some(&text("mine.md", "Mine."))).await.unwrap_err();
    assert_eq!(theirs.status(), Some(404));

    put(&client, id, &text("stove.md", " \n ")).await;
    let failed = show(&client, id, "?wait=30").await;
    assert_eq!((&failed["status"], &failed["version"]), (&"failed".into(), &2.into()), "{failed}");
    assert_eq!((&failed["searchable_version"], &failed["chunk_count"]), (&1.into(), &1.into()), "{failed}");
    assert!(failed["reason"].as_str().unwrap().contains("no text"), "{failed}");
    assert_eq!(found(&client, "what does the stove burn?").await, ["The stove burns gas."]);
    let events = client.call(Method::GET, "/v1/events?limit=50", None).await.unwrap().body;
    let event = |name: &str| events["data"].as_array().unwrap().iter().find(|event| event["type"] == name).cloned();
    let (indexed, failure) = (event("document.indexed").unwrap(), event("document.failed").unwrap());
    assert_eq!((&indexed["data"]["chunks"], &indexed["data"]["version"]), (&1.into(), &1.into()), "{indexed}");
    assert_eq!(failure["data"]["searchable_version"], 1, "{failure}");

    // The next one heals it.
    put(&client, id, &text("stove.md", "The stove burns wood.")).await;
    let ready = show(&client, id, "?wait=30").await;
    assert_eq!((&ready["status"], &ready["searchable_version"]), (&"ready".into(), &3.into()), "{ready}");
    assert_eq!(found(&client, "what does the stove burn?").await, ["The stove burns wood."]);
    assert_eq!(stack.database.count("select count(*) from document_versions").await, 1);
    stack.finish().await;
}

#[tokio::test]
async fn of_many_versions_at_once_the_last_one_stays() {
    let stack = Stack::builder().workers(2).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, document) = post(&client, &text("n.md", "The number is none.")).await;
    let id = document["id"].as_str().unwrap().to_owned();
    let bodies: Vec<Value> = (0..12).map(|n| text("n.md", &format!("The number is {n}."))).collect();
    let answers = futures::future::join_all(bodies.iter().map(|body| put(&client, &id, body))).await;
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    let (_, last) = put(&client, &id, &text("n.md", "The number is the last.")).await;
    let newest = last["version"].as_i64().unwrap();
    assert!(answers.iter().all(|(_, answer)| answer["version"].as_i64() < Some(newest)), "{answers:?}");
    let ready = show(&client, &id, "?wait=60").await;
    assert_eq!((&ready["status"], &ready["version"]), (&"ready".into(), &newest.into()), "{ready}");
    stack.idle(LIMIT).await;
    assert_eq!(found(&client, "the number").await, ["The number is the last."]);
    let index = open_index(stack.env("LANCEDB_URI")).await;
    let (tenant, id): (TenantId, DocumentId) = (tenant.id.parse().unwrap(), id.parse().unwrap());
    assert_eq!(index.count(tenant, Some(id)).await.unwrap(), 1, "what was overtaken left no chunk");
    assert_eq!(originals(&stack).len(), 1, "nor an original");
    stack.finish().await;
}

/// Two workers embed into one tenant at the same time.
#[tokio::test]
async fn two_workers_on_one_tenant_lose_nothing() {
    let stack = Stack::builder().workers(2).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let started = Instant::now();
    let uploads = (0..24).map(|n| {
        let client = &client;
        async move {
            let body = (0..8).map(|part| format!("## Part {part}\n\nTent {n} part {part} is blue.\n\n")).collect();
            let upload = TextUpload {
                name: format!("tent-{n}.md"),
                content_type: "text/markdown".into(),
                text: body,
                ..TextUpload::default()
            };
            client.upload_text(&upload).await.expect("an upload").id
        }
    });
    let ids = futures::future::join_all(uploads).await;
    for id in &ids {
        let ready = client.settled_document(id, 2 * LIMIT).await.unwrap();
        assert_eq!((ready.status.to_string().as_str(), ready.chunk_count), ("ready", Some(8)), "{:?}", ready.reason);
    }
    let mut by = Vec::new();
    for worker in &stack.workers {
        by.push(metric(worker, "metachat_chunks_embedded_total").await);
    }
    eprintln!("{by:?} chunks by worker in {:?}", started.elapsed());
    assert!(by.iter().all(|chunks| *chunks > 0.0), "both took part: {by:?}");
    let index = open_index(stack.env("LANCEDB_URI")).await;
    let tenant: TenantId = tenant.id.parse().unwrap();
    assert_eq!(index.count(tenant, None).await.unwrap(), 24 * 8);
    for id in &ids {
        assert_eq!(index.count(tenant, Some(id.parse().unwrap())).await.unwrap(), 8, "{id}");
    }
    stack.finish().await;
}

/// What an upload left that was never committed goes; what a row names stays, and so does what is young.
#[tokio::test]
async fn the_sweep_removes_what_no_row_names() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (_, document) = post(&client, &text("stove.md", "The stove burns gas.")).await;
    client.settled_document(document["id"].as_str().unwrap(), LIMIT).await.unwrap();
    let root = std::path::PathBuf::from(stack.env("ORIGINALS_URI"));
    let own = root.join(tenant.id.split_once('_').unwrap().1);
    let nobodys = |tenant: u128, version: &str| {
        let folder = root.join(format!("{tenant:032x}")).join(format!("{:032x}", 7)).join(version);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("original"), "left over").unwrap();
        folder.join("original")
    };
    let (old, young) = (nobodys(1, "1"), nobodys(2, "1"));
    let lost = own.join(document["id"].as_str().unwrap().split_once('_').unwrap().1).join("2");
    std::fs::create_dir_all(&lost).unwrap();
    std::fs::write(lost.join("original"), "never committed").unwrap();
    let kept = lost.with_file_name("1").join("original");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(25 * 3600);
    for file in [&old, &lost.join("original"), &kept] {
        std::fs::File::options().append(true).open(file).unwrap().set_modified(long_ago).unwrap();
    }
    let sweep = "update schedules set next_at = now(), last_success_at = null where name = 'sweep_originals'";
    sqlx::query(sweep).execute(stack.database.owner().await).await.unwrap();
    eventually("the sweep", LIMIT, async || {
        let done = "select count(*) from schedules where name = 'sweep_originals' and last_success_at is not null";
        (stack.database.count(done).await == 1).then_some(())
    })
    .await;
    assert!(!old.exists() && !lost.join("original").exists());
    assert!(young.exists() && kept.exists());
    stack.finish().await;
}
