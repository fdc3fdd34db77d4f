use std::time::{Duration, Instant};

use jobs::ports::Embedder;
use worker::engines::embedder::OnnxEmbedder;

use super::{connect_embedder, cosine, embedder_config};

#[tokio::test]
async fn vectors_agree_with_the_model_card() {
    let embedder = connect_embedder().await;
    let (name, version) = embedder.model().rsplit_once('@').expect("name and version");
    assert_eq!((name, embedder.dimension()), ("all-MiniLM-L6-v2-int8", 384));
    assert!(version.len() == 8 && version.chars().all(|digit| digit.is_ascii_hexdigit()), "{version}");
    let person = embedder.embed_query("That is a happy person").await.unwrap();
    assert!((cosine(&person, &person) - 1.0).abs() < 1e-4);
    for (sentence, expected) in
        [("That is a happy dog", 0.695), ("That is a very happy person", 0.943), ("Today is a sunny day", 0.257)]
    {
        let other = embedder.embed_query(sentence).await.unwrap();
        assert!((cosine(&person, &other) - expected).abs() < 0.04, "{sentence}: {}", cosine(&person, &other));
    }
}

#[tokio::test]
async fn a_vector_does_not_depend_on_its_company() {
    let embedder = connect_embedder().await;
    let texts: Vec<String> = (1..30).map(|words| "The tent keeps water out. ".repeat(words)).collect();
    let together = embedder.embed_documents(texts.clone()).await.unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        let alone = embedder.embed_documents(vec![text.clone()]).await.unwrap();
        assert_eq!(alone[0], *vector);
        assert_eq!(embedder.embed_query(text).await.unwrap(), *vector);
    }
    assert!(embedder.embed_documents(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_query_overtakes_documents() {
    let embedder = connect_embedder().await;
    let texts = vec!["A long paragraph about tents, boots and ropes. ".repeat(40); 60];
    let documents = embedder.embed_documents(texts);
    let query = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        embedder.embed_query("How do I wash a tent?").await.unwrap();
        Instant::now()
    };
    let documents = async {
        assert_eq!(documents.await.unwrap().len(), 60);
        Instant::now()
    };
    let (answered, finished) = tokio::join!(query, documents);
    assert!(answered < finished, "the query waited for the whole document");
}

#[tokio::test]
async fn a_missing_model_is_named() {
    let error = OnnxEmbedder::connect(&embedder_config("/nowhere".into())).await.err().expect("there is no model");
    assert!(format!("{error:#}").contains("EMBEDDING_MODEL_DIR: /nowhere"), "{error:#}");
}
