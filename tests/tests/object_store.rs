//! Originals and vectors in a bucket instead of a folder.

use std::time::Duration;

use loadtest::client::{Search, TextUpload};
use reqwest::Method;
use tests::{ObjectStore, Stack, eventually};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn documents_are_embedded_found_and_erased_in_a_bucket() {
    let bucket = ObjectStore::start().await;
    let mut stack = Stack::builder()
        .workers(2)
        .env("LANCEDB_URI", bucket.uri("vectors"))
        .env("ORIGINALS_URI", bucket.uri("originals"));
    for (name, value) in bucket.settings() {
        stack = stack.env(name, value);
    }
    let stack = stack.start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let (_, neighbour) = stack.tenant("Next door").await;
    let upload = async |name: &str, text: &str| {
        let (name, content_type, text) = (name.to_owned(), "text/markdown".to_owned(), text.to_owned());
        client
            .upload_text(&TextUpload { name, content_type, text, ..TextUpload::default() })
            .await
            .expect("an upload")
            .id
    };
    // Two workers write to one table at once.
    let names: Vec<String> = (0..8).map(|n| format!("stove-{n}.md")).collect();
    let uploads = names.iter().map(|name| upload(name, "# Stove\n\nThe stove burns gas, and its flame is blue."));
    let ids = futures::future::join_all(uploads).await;
    for id in &ids {
        let ready = client.settled_document(id, LIMIT).await.unwrap();
        assert_eq!(ready.status.to_string(), "ready", "{:?}", ready.reason);
    }
    assert_eq!(bucket.objects("originals").await.iter().filter(|name| name.ends_with("/original")).count(), 8);
    assert!(!bucket.objects("vectors").await.is_empty());
    let search = Search { query: "what does the stove burn?".into(), limit: Some(20), ..Search::default() };
    assert_eq!(client.search(&search).await.unwrap().len(), 8);
    assert!(neighbour.search(&search).await.unwrap().is_empty());

    let one = Search { document_ids: vec![ids[0].clone()], ..search.clone() };
    assert_eq!(client.search(&one).await.unwrap().len(), 1);
    client.call(Method::DELETE, &format!("/v1/documents/{}", ids[0]), None).await.unwrap();
    assert!(client.search(&one).await.unwrap().is_empty(), "hidden at once");
    eventually("it is erased", LIMIT, async || {
        (stack.database.count("select count(*) from erasures where status = 'finished'").await == 1).then_some(())
    })
    .await;
    let own = ids[0].split_once('_').unwrap().1;
    assert!(!bucket.objects("originals").await.iter().any(|name| name.contains(own)), "its original is gone");
    assert_eq!(client.search(&search).await.unwrap().len(), 7);
    stack.finish().await;
}
