use std::time::Instant;

use tests::files::pdf;

use super::*;

const PAGES: usize = 300;
/// Slots for documents in one worker.
const SLOTS: usize = 4;

/// A tenant's long documents hold every slot; another's short one is ready long before them, and queries are answered.
#[tokio::test]
async fn long_documents_do_not_keep_anothers_short_one_waiting() {
    let stack = Stack::start().await;
    let (_, client) = stack.tenant("Many pages").await;
    let (_, neighbour) = stack.tenant("One page").await;
    let mut long = Vec::new();
    for book in 0..SLOTS + 2 {
        let lines = |page: usize| {
            (0..12).map(move |line| format!("Book {book} page {page} line {line} is about tent {}", page * line))
        };
        let pages: Vec<String> = (0..PAGES).map(|page| lines(page).collect::<Vec<_>>().join("\n")).collect();
        long.push(upload(&client, "book.pdf", "application/pdf", pdf(&pages)).await);
    }
    eventually("every slot holds a long document that is being embedded", 3 * LIMIT, async || {
        let begun = "select count(*) from documents where status = 'processing' and chunks_total is not null";
        (stack.database.count(begun).await >= SLOTS as i64).then_some(())
    })
    .await;
    let started = Instant::now();
    let short = upload(&neighbour, "short.pdf", "application/pdf", pdf(&["The stove burns gas.".to_owned()])).await;
    let short = neighbour.settled_document(&short.id, LIMIT).await.unwrap();
    let waited = started.elapsed();
    assert_eq!(short.status.to_string(), "ready", "{:?}", short.reason);
    let done = "select count(*) from documents where status = 'ready'";
    assert_eq!(stack.database.count(done).await, 1, "the long ones are not done");
    let progress = show(&client, &long[0].id, "").await["progress"].clone();
    eprintln!("a page behind {} of {PAGES} pages: {waited:?}; {progress}", SLOTS + 2);
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    assert_eq!(progress["pages_total"], PAGES);
    assert!(progress["chunks_done"].as_i64() < progress["chunks_total"].as_i64(), "{progress}");
    // They go on: what is left of them goes with the test's database.
    for document in &long {
        client.call(Method::DELETE, &format!("/v1/documents/{}", document.id), None).await.unwrap();
    }
}
