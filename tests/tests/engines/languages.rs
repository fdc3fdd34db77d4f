//! Full-text search in languages the embedding model was not made for: the words alone must find the passage.

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Collection, Embedding, Index, SearchFilter},
};
use tempfile::TempDir;
use worker::engines::index::{IndexConfig, LanceIndex};

fn of(tenant: TenantId) -> Collection<'static> {
    Collection { tenant, model: "none" }
}

/// Passages of one shop in a language, and questions in other forms of their words, each with the passage it asks for.
type Case = (&'static str, [&'static str; 3], [(&'static str, usize); 3]);

const CASES: [Case; 7] = [
    (
        "en",
        ["Refunds are paid within five days.", "The boots were resoled in our workshop.", "We ship to every country."],
        [("When was my payment refunded?", 0), ("resoling a boot", 1), ("Which countries do you ship to?", 2)],
    ),
    (
        "de",
        [
            "Die Rückerstattung erfolgt innerhalb von fünf Tagen.",
            "Rechnungen schicken wir per E-Mail.",
            "Zelte haben eine Wassersäule von 5000 mm.",
        ],
        [("Rückerstattungen", 0), ("Wo finde ich meine Rechnung?", 1), ("ZELT wassersaule", 2)],
    ),
    (
        "fr",
        [
            "Les remboursements sont effectués sous cinq jours.",
            "La livraison à l’étranger coûte 20 euros.",
            "Nos tentes sont imperméables.",
        ],
        [("Quand serai-je remboursé ?", 0), ("livrer a l'etranger", 1), ("tente imperméable", 2)],
    ),
    (
        "es",
        [
            "Las devoluciones se aceptan durante 30 días.",
            "Enviamos facturas por correo electrónico.",
            "Las botas son impermeables.",
        ],
        [("¿Cómo devuelvo una devolución?", 0), ("¿Dónde está mi factura?", 1), ("bota impermeable", 2)],
    ),
    (
        "hr",
        [
            "Povrat novca isplaćujemo u roku od pet dana.",
            "Račune šaljemo elektroničkom poštom.",
            "Šatori su vodootporni do 5000 mm.",
        ],
        [("Kada će mi novac biti isplaćen?", 0), ("Gdje mogu naći računa kopiju?", 1), ("vodootporan sator", 2)],
    ),
    (
        "zh",
        ["退款将在五天内完成。", "我们通过电子邮件发送发票。", "帐篷防水五千毫米。"],
        [("退款需要多久？", 0), ("在哪里可以找到发票", 1), ("帐篷防水吗", 2)],
    ),
    (
        "ja",
        ["返金は五日以内に行われます。", "請求書はメールで送られます。", "テントは防水です。"],
        [("返金はいつですか", 0), ("請求書はどこ", 1), ("防水のテント", 2)],
    ),
];

async fn words_of_every_language(tenant: TenantId, directory: &TempDir) -> (LanceIndex, Vec<DocumentId>) {
    let config = IndexConfig { lancedb_uri: directory.path().display().to_string() };
    let index = LanceIndex::connect(&config).await.unwrap();
    let mut documents = Vec::new();
    for (language, passages, _) in CASES {
        let document = DocumentId::generate();
        documents.push(document);
        let chunks = passages.iter().zip(0..).map(|(text, position)| Chunk {
            position,
            text: (*text).to_owned(),
            heading: None,
            page: None,
            tags: Vec::new(),
            language: Some(language.to_owned()),
            vector: vector(),
        });
        index.add(of(tenant), document, 1, chunks.collect()).await.unwrap();
    }
    (index, documents)
}

/// The same for all, so that it finds nothing.
fn vector() -> Embedding {
    [1.0, 0.0, 0.0, 0.0].into()
}

#[tokio::test]
async fn other_forms_of_a_word_find_the_passage() {
    let directory = TempDir::new().unwrap();
    let tenant = TenantId::generate();
    let (index, documents) = words_of_every_language(tenant, &directory).await;
    for ((language, passages, questions), document) in CASES.iter().zip(documents) {
        for (question, expected) in questions {
            let hits = index.search_text(of(tenant), question, &vector(), &SearchFilter::default(), 3).await.unwrap();
            let best = hits.first().and_then(|hit| Some((hit.document, *passages.get(hit.position as usize)?)));
            assert_eq!(best, Some((document, passages[*expected])), "{language}: {question}: {hits:#?}");
        }
    }
}

#[tokio::test]
async fn a_word_is_found_whatever_language_the_question_is_in() {
    let directory = TempDir::new().unwrap();
    let tenant = TenantId::generate();
    let (index, documents) = words_of_every_language(tenant, &directory).await;
    // An English question with the German document's word, a Croatian one with the English document's.
    for (question, language) in [("How high is the Wassersäule?", 1), ("Što znači resoled?", 0)] {
        let hits = index.search_text(of(tenant), question, &vector(), &SearchFilter::default(), 1).await.unwrap();
        assert_eq!(hits.first().map(|hit| hit.document), Some(documents[language]), "{question}");
    }
    for nothing in ["the of and", "?!", " ", "der die das", "zebra"] {
        let hits = index.search_text(of(tenant), nothing, &vector(), &SearchFilter::default(), 1).await.unwrap();
        assert!(hits.is_empty(), "{nothing}: {hits:?}");
    }
}
