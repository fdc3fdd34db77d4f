use std::path::PathBuf;

use jobs::domain::ids::DocumentId;
use jobs::ports::Index;
use loadtest::client::Search;

use super::*;

/// A word that no dictionary holds, so that it is found where it is and nowhere else.
const MARK: &str = "zqxwombatine";

#[tokio::test]
async fn a_documents_rows_vectors_and_files_go_and_a_receipt_stays() {
    let stack = Stack::start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let (other, neighbour) = stack.tenant("Next door").await;
    let text = format!("# Tents\n\nThe {MARK} tent is waterproof up to 5000 mm.");
    let gone = upload(&client, "gone.md", &text).await;
    let kept = upload(&client, "kept.md", "# Boots\n\nBoots are resoled within two weeks.").await;
    upload(&neighbour, "theirs.md", &text).await;
    let search = Search { query: format!("{MARK} tent waterproof"), ..Search::default() };
    assert!(client.search(&search).await.unwrap().iter().any(|hit| hit.document_id == gone.id));
    let folder = stack.env("LANCEDB_URI").to_owned();
    let table = |tenant: &str| {
        let name = tenant.split_once('_').expect("a prefix").1.to_owned();
        let tables = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        tables.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&name)).expect("a table")
    };
    assert!(!files_with(&table(&tenant.id), MARK).is_empty(), "the mark can be found in files");

    let id = erase(&client, &format!("/v1/documents/{}", gone.id)).await;
    assert!(!client.search(&search).await.unwrap().iter().any(|hit| hit.document_id == gone.id), "hidden at once");
    let receipt = finished(&client, &id).await;
    assert_eq!((&receipt["scope"], &receipt["subject"]), (&"document".into(), &gone.id.clone().into()));
    assert_eq!(receipt["requested_by"], "tenant");
    let removed = &receipt["removed"];
    for (name, count) in [("documents", 1), ("originals", 2), ("events", 1), ("vectors", 1)] {
        assert_eq!(removed[name], count, "{name}: {receipt}");
    }
    assert_eq!(receipt["proof"]["vectors"], serde_json::json!({ "rows": 0, "vector_hits": 0, "text_hits": 0 }));
    assert_eq!(receipt["proof"]["originals"], 0);
    let originals = PathBuf::from(stack.env("ORIGINALS_URI"));
    let folder_of = |tenant: &str| originals.join(tenant.split_once('_').expect("a prefix").1);
    assert_eq!(
        files_with(&folder_of(&tenant.id), MARK),
        Vec::<String>::new(),
        "the original and what was read are gone"
    );
    assert_eq!(files_with(&folder_of(&other.id), MARK).len(), 2, "the neighbour's are not");

    stack.idle(LIMIT).await;
    let document: DocumentId = gone.id.parse().unwrap();
    assert_eq!(index(&stack).await.count(tenant_id(&tenant.id), Some(document)).await.unwrap(), 0);
    assert_eq!(files_with(&table(&tenant.id), MARK), Vec::<String>::new(), "no file holds what was erased");
    assert!(!files_with(&table(&other.id), MARK).is_empty(), "the neighbour's do");
    let named = "select count(*) from events where data::text like '%gone.md%'";
    assert_eq!(stack.database.count(named).await, 0);
    assert_eq!(client.document(&gone.id).await.unwrap_err().status(), Some(404));
    assert_eq!(neighbour.search(&search).await.unwrap().len(), 1);
    let boots = Search { query: "resoled boots".into(), ..Search::default() };
    assert_eq!(client.search(&boots).await.unwrap()[0].document_id, kept.id, "the other document is found");

    // Once more: there is nothing to erase, and the receipt stays as it is. It is nobody else's.
    let again = client.call(Method::DELETE, &format!("/v1/documents/{}", gone.id), None).await;
    assert_eq!(again.unwrap_err().status(), Some(404));
    assert_eq!(super::receipt(&client, &id).await, receipt);
    assert_eq!(super::receipt(&stack.admin(), &id).await, receipt, "the operator reads it too");
    let path = format!("/v1/erasures/{id}");
    assert_eq!(neighbour.call(Method::GET, &path, None).await.unwrap_err().status(), Some(404));
    let keyless = stack.admin().with_key("mk_live_nobody");
    assert_eq!(keyless.call(Method::GET, &path, None).await.unwrap_err().status(), Some(401));
    stack.finish().await;
}

/// The embedding of a document that is erased before it began, and of one that was erased under it.
#[tokio::test]
async fn a_document_that_is_being_embedded_is_erased_all_the_same() {
    let mut stack = Stack::builder().workers(0).start().await;
    let (tenant, client) = stack.tenant("Fellmark").await;
    let text =
        (0..400).map(|n| format!("## Part {n}\n\nPart {n} of the tent weighs {n} grams.\n\n")).collect::<String>();
    let (name, content_type) = ("parts.md".to_owned(), "text/markdown".to_owned());
    let new = TextUpload { name, content_type, text, ..TextUpload::default() };
    let waiting = client.upload_text(&new).await.unwrap();
    let first = erase(&client, &format!("/v1/documents/{}", waiting.id)).await;
    assert_eq!(erase(&client, &format!("/v1/documents/{}", waiting.id)).await, first, "asked twice, it is one");
    stack.start_worker().await;
    finished(&client, &first).await;

    let running = client.upload_text(&new).await.unwrap();
    eventually("it is being embedded", LIMIT, async || {
        let processing = "select count(*) from documents where status = 'processing'";
        (stack.database.count(processing).await == 1).then_some(())
    })
    .await;
    let second = erase(&client, &format!("/v1/documents/{}", running.id)).await;
    finished(&client, &second).await;
    stack.idle(LIMIT).await;
    assert_eq!(vectors(&stack, tenant_id(&tenant.id)).await, 0);
    assert_eq!(stack.database.count("select count(*) from documents").await, 0);
    stack.finish().await;
}
