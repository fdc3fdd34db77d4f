//! Both legs with the real model, as jobs and the evaluation use them.

use jobs::{
    domain::{
        ids::{DocumentId, TenantId},
        retrieval::Fusion,
    },
    kinds::retrieve::Legs,
    ports::{Chunk, Collection, Embedder, Index, SearchFilter},
};
use tempfile::TempDir;
use worker::engines::{
    embedder::OnnxEmbedder,
    index::{IndexConfig, LanceIndex},
};

use super::connect_embedder;

pub async fn shop(embedder: &OnnxEmbedder, directory: &TempDir, tenant: TenantId, texts: &[&str]) -> LanceIndex {
    let config = IndexConfig { lancedb_uri: directory.path().display().to_string() };
    let index = LanceIndex::connect(&config).await.unwrap();
    let document = DocumentId::generate();
    let vectors = embedder.embed_documents(texts.iter().map(|text| (*text).to_owned()).collect()).await.unwrap();
    let chunks = texts.iter().zip(vectors).zip(0..).map(|((text, vector), position)| Chunk {
        position,
        text: (*text).to_owned(),
        heading: None,
        page: None,
        tags: Vec::new(),
        language: None,
        vector,
    });
    let collection = Collection { tenant, model: embedder.model() };
    index.add(collection, document, 1, chunks.collect()).await.unwrap();
    index
}

#[tokio::test]
async fn the_best_of_both_legs_comes_first_and_repeats_come_last() {
    let embedder = connect_embedder().await;
    let directory = TempDir::new().unwrap();
    let tenant = TenantId::generate();
    let texts = [
        "Returns are free within 30 days of delivery.",
        "Returns are free within 30 days of the delivery.",
        "Returns are free within 30 days of delivery!",
        "Returns are free, within 30 days of delivery.",
        "Returns are free within 30 days of delivery?",
        "Error E-4711 means that the pump is blocked.",
        "Our shop closes at six in the evening.",
    ];
    let index = shop(&embedder, &directory, tenant, &texts).await;
    let ask = async |query: &str, limit| {
        let all = SearchFilter::default();
        let mut legs = Legs::search(&embedder, &index, tenant, query, &all, limit).await.unwrap();
        legs.read_best(&index, Collection { tenant, model: embedder.model() }, limit, 0, |_| true).await.unwrap();
        let picked = legs.pick(legs.fusion(), None, limit);
        let record = legs.record(query, embedder.model(), None, &picked);
        (picked.iter().map(|picked| picked.passage.text.clone()).collect::<Vec<_>>(), record)
    };
    // Words that only one passage holds; a meaning that no word of the passage says.
    assert_eq!(ask("E-4711", 1).await.0, [texts[5]]);
    assert_eq!(ask("Until when are you open at night?", 1).await.0, [texts[6]]);
    // Five times the same is one answer: the second place is for another, though the four that are read first are the same.
    let (found, record) = ask("Are returns free within 30 days of delivery?", 2).await;
    assert!(found[0].starts_with("Returns") && !found[1].starts_with("Returns"), "{found:?}");
    assert_eq!(record["found"].as_array().unwrap().len(), 2);
    // Of five that tie.
    assert!((1..=5).contains(&record["found"][0]["text_rank"].as_u64().unwrap()), "{record}");
    assert!(record["found"][0]["similarity"].as_f64().unwrap() > 0.8 && record["embed_ms"].as_f64().unwrap() > 0.0);
    let (found, _) = ask("Are returns free within 30 days of delivery?", 5).await;
    assert_eq!(found.len(), 5, "repeats fill the places that nothing else takes: {found:?}");
}

#[tokio::test]
async fn the_model_counts_for_more_in_its_own_language() {
    let embedder = connect_embedder().await;
    for (known, unknown) in [
        ("How long does a refund take?", "Wie lange dauert die Rückerstattung?"),
        ("Which payment methods do you accept?", "Koje načine plaćanja prihvaćate?"),
        ("Where is my money?", "发票在哪里？"),
        ("Can I return the tent?", "どこで返品できますか"),
        ("Are the boots waterproof?", "Les chaussures sont-elles imperméables ?"),
    ] {
        assert!(embedder.familiarity(known) > 0.5, "{known}: {}", embedder.familiarity(known));
        assert!(embedder.familiarity(unknown) < 0.5, "{unknown}: {}", embedder.familiarity(unknown));
        assert_ne!(Fusion::for_familiarity(embedder.familiarity(unknown)), Fusion::for_familiarity(1.0));
    }
    assert_eq!(embedder.familiarity("4711 ?"), 1.0);
}
