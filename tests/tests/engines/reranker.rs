//! A cross-encoder puts the best of a search in order, in ONNX Runtime and through the whole product.

use std::time::Duration;

use jobs::{
    domain::ids::TenantId,
    kinds::retrieve::Legs,
    ports::{Collection, Embedder, Reranker, SearchFilter},
};
use loadtest::client::{Search, Submission, TextUpload};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tests::Stack;
use worker::engines::reranker::{OnnxReranker, RerankerConfig};

use super::{connect_embedder, model_dir, retrieval::shop};

const LIMIT: Duration = Duration::from_secs(60);
const QUESTION: &str = "Until when are you open at night?";
/// What it means, then what only repeats its words.
const TEXTS: [&str; 2] =
    ["Our shop closes at six in the evening.", "You are open at night, the moth said to the lily."];

/// The cross-encoder of `tests/fixtures`, with the tokenizer of the embedding model.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cross_encoder.onnx");
    std::fs::copy(fixture, directory.path().join("model.onnx")).unwrap();
    for name in ["tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"] {
        std::fs::copy(model_dir().join(name), directory.path().join(name)).unwrap();
    }
    directory
}

async fn load(directory: &TempDir) -> anyhow::Result<OnnxReranker> {
    let config = RerankerConfig { reranker_model_dir: Some(directory.path().to_owned()), reranker_intra_threads: 1 };
    Ok(OnnxReranker::connect(&config).await?.expect("a model is named"))
}

#[tokio::test]
async fn the_reranker_has_the_last_word_and_a_search_does_without_it() {
    let (embedder, reranker) = (connect_embedder().await, load(&directory()).await.unwrap());
    let scores = reranker.score(QUESTION, TEXTS.map(str::to_owned).to_vec()).await.unwrap();
    assert_eq!(scores, [1.0 / 8.0, 5.0 / 8.0], "of eight tokens");

    let (folder, tenant) = (TempDir::new().unwrap(), TenantId::generate());
    let index = shop(&embedder, &folder, tenant, &TEXTS).await;
    let ask = async |query: &str, reranked| {
        let all = SearchFilter::default();
        let mut legs = Legs::search(&embedder, &index, tenant, query, &all, 2).await.unwrap();
        legs.read_best(&index, Collection { tenant, model: embedder.model() }, 2, 0, |_| true).await.unwrap();
        let reranked = if reranked { Some(legs.rerank(&reranker, query).await) } else { None };
        let picked = legs.pick(legs.fusion(), reranked.as_ref(), 2);
        let record = legs.record(query, embedder.model(), reranked.as_ref(), &picked);
        (picked.iter().map(|picked| picked.passage.text.clone()).collect::<Vec<_>>(), record)
    };
    let by_legs = ask(QUESTION, false).await;
    let (found, record) = ask(QUESTION, true).await;
    assert_eq!(found, [TEXTS[1], TEXTS[0]]);
    assert_eq!(record["found"][0]["rerank_score"], 5.0 / 8.0);
    assert_eq!((&record["reranked"]["passages"], &record["reranked"]["model"]), (&2.into(), &reranker.model().into()));
    assert!(record["reranked"]["ms"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (by_legs.1["reranked"].clone(), by_legs.1["found"][0]["rerank_score"].clone()),
        (Value::Null, Value::Null)
    );

    // Scores that are no numbers: the order of the legs stays, and the record says why.
    let (found, record) = ask("[MASK]", true).await;
    assert_eq!(found, ask("[MASK]", false).await.0);
    let error = record["reranked"]["error"].as_str().unwrap();
    assert!(error.contains("no finite score"), "{error}");
}

#[tokio::test]
async fn a_directory_without_a_model_is_told() {
    let directory = directory();
    std::fs::write(directory.path().join("model.onnx"), "no model").unwrap();
    let error = format!("{:#}", load(&directory).await.err().unwrap());
    assert!(error.contains("the model could not be loaded"), "{error}");
    std::fs::remove_file(directory.path().join("model.onnx")).unwrap();
    let error = format!("{:#}", load(&directory).await.err().unwrap());
    assert!(error.contains("model.onnx"), "{error}");
}

#[tokio::test]
async fn searches_and_messages_come_in_the_order_of_the_reranker() {
    let directory = directory();
    let stack = Stack::builder().env("RERANKER_MODEL_DIR", directory.path().display().to_string()).start().await;
    let (_, client) = stack.tenant("Corner shop").await;
    for (name, text) in ["hours.md", "fable.md"].into_iter().zip(TEXTS) {
        let upload = TextUpload {
            name: name.into(),
            content_type: "text/markdown".into(),
            text: text.into(),
            ..TextUpload::default()
        };
        let document = client.upload_text(&upload).await.unwrap();
        client.settled_document(&document.id, LIMIT).await.unwrap();
    }
    let search = Search { query: QUESTION.into(), ..Search::default() };
    let found = client.search(&search).await.unwrap();
    let names: Vec<&str> = found.iter().map(|source| source.document_name.as_str()).collect();
    assert_eq!(names, ["fable.md", "hours.md"]);

    let submitted = client.submit(&Submission::new(QUESTION)).await.unwrap();
    client.final_message(&submitted.message.id, LIMIT).await.unwrap();
    let path = format!("/v1/messages/{}/timeline", submitted.message.id);
    let timeline: Value = client.call(Method::GET, &path, None).await.unwrap().parse().unwrap();
    let retrieval = &timeline["retrieval"];
    assert_eq!(retrieval["reranked"]["passages"], 2, "{timeline}");
    assert_eq!(retrieval["found"][0]["chunk"], found[0].chunk_id);
    stack.finish().await;
}
