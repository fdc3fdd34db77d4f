mod unindexed;

use std::{collections::HashMap, sync::Arc, time::Duration};

use jobs::{
    domain::ids::{DocumentId, TenantId},
    ports::{Chunk, Collection, Embedding, Hit, Index, Passage, Place, SearchFilter, Versions},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::task::JoinSet;
use worker::engines::index::{IndexConfig, LanceIndex};

const DIMENSION: usize = 8;

async fn connect(directory: &TempDir) -> LanceIndex {
    let config = IndexConfig { lancedb_uri: directory.path().join("index").display().to_string() };
    LanceIndex::connect(&config).await.unwrap()
}

/// A tenant's chunks.
fn of(tenant: TenantId) -> Collection<'static> {
    Collection { tenant, model: "test-Model v1" }
}

/// A unit vector that turns with the angle, in degrees.
fn vector(angle: f32) -> Embedding {
    let (sine, cosine) = angle.to_radians().sin_cos();
    [cosine, sine].into_iter().chain([0.0; DIMENSION - 2]).collect()
}

/// A unit vector in any direction.
fn turned(random: &mut StdRng) -> Embedding {
    let numbers: Vec<f32> = (0..DIMENSION).map(|_| random.random_range(-1.0_f32..1.0)).collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>().sqrt();
    numbers.iter().map(|number| number / length).collect()
}

fn chunk(position: u32, text: &str, tags: &[&str]) -> Chunk {
    Chunk {
        position,
        text: text.into(),
        heading: (position == 0).then(|| "Intro › First".into()),
        page: (position > 0).then_some(position),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        language: None,
        vector: vector(position as f32 * 10.0),
    }
}

/// What hits say, in their order.
async fn read(index: &LanceIndex, tenant: TenantId, hits: &[Hit]) -> Vec<Passage> {
    let wanted = hits.iter().map(|hit| (hit.place(), hit.row)).collect();
    let mut passages = index.passages(of(tenant), &wanted).await.unwrap();
    hits.iter().filter_map(|hit| passages.remove(&hit.place())).collect()
}

async fn texts(index: &LanceIndex, tenant: TenantId, hits: &[Hit]) -> Vec<String> {
    read(index, tenant, hits).await.into_iter().map(|passage| passage.text).collect()
}

#[tokio::test]
async fn both_legs_find_what_was_added() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, document) = (TenantId::generate(), DocumentId::generate());
    let chunks = vec![chunk(0, "Tents are waterproof.", &[]), chunk(3, "Refunds take five days.", &[])];
    index.add(of(tenant), document, 1, chunks.clone()).await.unwrap();
    index.add(of(tenant), document, 1, chunks).await.unwrap();

    let all = SearchFilter::default();
    let near = index.search_vector(of(tenant), &vector(1.0), &all, 10).await.unwrap();
    assert_eq!(texts(&index, tenant, &near).await, ["Tents are waterproof.", "Refunds take five days."]);
    assert!((near[0].similarity - 1.0_f32.to_radians().cos()).abs() < 1e-4 && near[0].score == near[0].similarity);
    let said = read(&index, tenant, &near).await;
    assert_eq!((said[0].heading.as_deref(), said[0].page), (Some("Intro › First"), None));
    assert_eq!((said[1].heading.as_deref(), said[1].page), (None, Some(3)));
    assert_eq!((near[1].position, near[1].document), (3, document));

    let worded = index.search_text(of(tenant), "refund (AND \"days\" -*:^~", &vector(30.0), &all, 10).await.unwrap();
    assert_eq!(texts(&index, tenant, &worded).await, ["Refunds take five days."]);
    assert!((worded[0].similarity - 1.0).abs() < 1e-4 && worded[0].score > 0.0);
    let headed = index.search_text(of(tenant), "intro", &vector(0.0), &all, 10).await.unwrap();
    assert_eq!(texts(&index, tenant, &headed).await, ["Tents are waterproof."]);
    for nothing in ["the of and", "?!", "", "zebra"] {
        assert!(index.search_text(of(tenant), nothing, &vector(0.0), &all, 10).await.unwrap().is_empty(), "{nothing}");
    }
    assert_eq!(index.search_vector(of(tenant), &vector(0.0), &all, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_tenant_never_sees_another_ones_rows() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (one, other, document) = (TenantId::generate(), TenantId::generate(), DocumentId::generate());
    index.add(of(one), document, 1, vec![chunk(0, "secret recipe", &[])]).await.unwrap();
    let all = SearchFilter::default();
    for tenant in [other, TenantId::generate()] {
        assert!(index.search_vector(of(tenant), &vector(0.0), &all, 10).await.unwrap().is_empty());
        assert!(index.search_text(of(tenant), "secret", &vector(0.0), &all, 10).await.unwrap().is_empty());
        assert_eq!(index.remove(of(tenant), document, Versions::All).await.unwrap(), 0);
    }
    assert_eq!(index.search_text(of(one), "secret", &vector(0.0), &all, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn filters_apply_before_the_limit() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, near, far) = (TenantId::generate(), DocumentId::generate(), DocumentId::generate());
    let close = (0..5).map(|position| chunk(position, "tent", &["it's", "a"])).collect();
    index.add(of(tenant), near, 1, close).await.unwrap();
    index.add(of(tenant), far, 1, vec![chunk(17, "tent", &["b", "c"])]).await.unwrap();
    let only = |documents: &[DocumentId], tags: &[&str]| SearchFilter {
        documents: documents.to_vec(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..SearchFilter::default()
    };
    for (filter, limit, expected) in [
        (only(&[far], &[]), 1, vec![far]),
        (only(&[near, far], &["c"]), 1, vec![far]),
        (only(&[], &["x", "b"]), 5, vec![far]),
        (only(&[], &["it's"]), 2, vec![near, near]),
        (only(&[near], &["b"]), 5, vec![]),
        (only(&[], &["') OR (1=1"]), 5, vec![]),
    ] {
        let by_vector = index.search_vector(of(tenant), &vector(0.0), &filter, limit).await.unwrap();
        let by_text = index.search_text(of(tenant), "tents", &vector(0.0), &filter, limit).await.unwrap();
        for hits in [by_vector, by_text] {
            assert_eq!(hits.iter().map(|hit| hit.document).collect::<Vec<_>>(), expected, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn language_and_least_similarity_apply_before_the_limit() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, document) = (TenantId::generate(), DocumentId::generate());
    let languages = [None, Some("de"), Some("en-GB"), Some("EN"), Some("eng")];
    let chunks = languages
        .into_iter()
        .zip(0..)
        .map(|(language, position)| Chunk { language: language.map(str::to_owned), ..chunk(position, "tent", &[]) });
    index.add(of(tenant), document, 1, chunks.collect()).await.unwrap();
    let places = async |filter: SearchFilter, limit| {
        let by_vector = index.search_vector(of(tenant), &vector(0.0), &filter, limit).await.unwrap();
        let mut by_text = index.search_text(of(tenant), "tent", &vector(0.0), &filter, limit).await.unwrap();
        by_text.sort_by_key(|hit| hit.position);
        [by_vector, by_text].map(|hits| hits.iter().map(|hit| hit.position).collect::<Vec<_>>())
    };
    let languages = |languages: &[&str]| SearchFilter {
        languages: languages.iter().map(|language| (*language).to_owned()).collect(),
        ..SearchFilter::default()
    };
    assert_eq!(places(languages(&["en"]), 2).await, [[2, 3], [2, 3]]);
    assert_eq!(places(languages(&["EN-gb", "de"]), 5).await, [[1, 2], [1, 2]]);
    assert_eq!(places(languages(&["fr"]), 5).await, [[0; 0]; 2]);
    // Ten degrees apart: the third is at 20, its cosine 0.94.
    let similar = |least| SearchFilter { min_similarity: Some(least), ..SearchFilter::default() };
    assert_eq!(places(similar(0.93), 5).await, [[0, 1, 2], [0, 1, 2]]);
    assert_eq!(places(similar(-1.0), 5).await, [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]);

    // Many rows match the words better than the only one that is similar enough.
    let far: Vec<Chunk> = (0..60)
        .map(|position| Chunk { vector: vector(90.0), ..chunk(position, "boots boots", &[]) })
        .chain([Chunk { vector: vector(0.0), ..chunk(60, "boots and a long text about other things", &[]) }])
        .collect();
    index.add(of(tenant), document, 2, far).await.unwrap();
    let hits = index.search_text(of(tenant), "boots", &vector(0.0), &similar(0.9), 3).await.unwrap();
    assert_eq!(hits.iter().map(|hit| hit.position).collect::<Vec<_>>(), [60]);
}

#[tokio::test]
async fn no_filter_reaches_into_another_tenant() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (one, other) = (TenantId::generate(), TenantId::generate());
    let (theirs, own) = (DocumentId::generate(), DocumentId::generate());
    index.add(of(one), theirs, 1, vec![chunk(0, "secret recipe", &["t"])]).await.unwrap();
    index.add(of(other), own, 1, vec![chunk(0, "own recipe", &["t"])]).await.unwrap();
    let filters = [
        SearchFilter { documents: vec![theirs], ..SearchFilter::default() },
        SearchFilter { documents: vec![theirs, own], tags: vec!["t".into()], ..SearchFilter::default() },
        SearchFilter { tags: vec!["t') OR document = '".into(), "t".into()], ..SearchFilter::default() },
        SearchFilter { min_similarity: Some(-1.0), ..SearchFilter::default() },
    ];
    for filter in filters {
        let by_vector = index.search_vector(of(other), &vector(0.0), &filter, 50).await.unwrap();
        let by_text = index.search_text(of(other), "secret recipe", &vector(0.0), &filter, 50).await.unwrap();
        for hit in by_vector.iter().chain(&by_text) {
            assert_eq!(hit.document, own, "{filter:?}");
        }
    }
    let place = Place { document: theirs, version: 1, position: 0 };
    for row in [0, 1, u64::MAX] {
        let wanted = HashMap::from([(place, row)]);
        assert!(index.passages(of(other), &wanted).await.unwrap().is_empty());
        assert_eq!(index.passages(of(one), &wanted).await.unwrap()[&place].text, "secret recipe");
    }
}

/// Between the search and the reading another process may merge fragments, or remove what was found.
#[tokio::test]
async fn what_was_found_is_read_wherever_it_has_moved() {
    let directory = TempDir::new().unwrap();
    let (index, elsewhere) = (connect(&directory).await, connect(&directory).await);
    let tenant = TenantId::generate();
    let documents: Vec<DocumentId> = (0..8).map(|_| DocumentId::generate()).collect();
    for document in &documents {
        let chunks = (0..3).map(|position| chunk(position, &format!("{document} {position}"), &[])).collect();
        index.add(of(tenant), *document, 1, chunks).await.unwrap();
    }
    let hits = index.search_vector(of(tenant), &vector(0.0), &SearchFilter::default(), 50).await.unwrap();
    assert_eq!(hits.len(), 24);

    // Merges them all, and then removes rows that lie among others.
    elsewhere.erase_document(tenant, documents[3]).await.unwrap();
    let merged = index.search_vector(of(tenant), &vector(0.0), &SearchFilter::default(), 50).await.unwrap();
    for document in [documents[0], documents[5]] {
        elsewhere.remove(of(tenant), document, Versions::All).await.unwrap();
    }

    let rows = |hits: &[Hit]| hits.iter().map(|hit| (hit.place(), hit.row)).collect::<HashMap<_, _>>();
    let (before, after) = (rows(&hits), rows(&merged));
    assert!(after.iter().any(|(place, row)| before[place] != *row), "some have moved");
    for wanted in [before, after] {
        let read = index.passages(of(tenant), &wanted).await.unwrap();
        assert_eq!(read.len(), 15);
        for (place, passage) in &read {
            assert_eq!(passage.text, format!("{} {}", place.document, place.position));
        }
    }
}

#[tokio::test]
async fn an_old_version_goes_when_the_new_one_is_there() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, document, other) = (TenantId::generate(), DocumentId::generate(), DocumentId::generate());
    assert_eq!(index.remove(of(tenant), document, Versions::Below(2)).await.unwrap(), 0);
    for version in 1..=2 {
        let chunks = (0..3).map(|position| chunk(position, &format!("version {version}"), &[])).collect();
        index.add(of(tenant), document, version, chunks).await.unwrap();
    }
    index.add(of(tenant), other, 1, vec![chunk(0, "other", &[])]).await.unwrap();
    assert_eq!(index.remove(of(tenant), document, Versions::Below(2)).await.unwrap(), 3);
    assert_eq!(index.remove(of(tenant), document, Versions::Below(2)).await.unwrap(), 0);
    let hits = index.search_vector(of(tenant), &vector(0.0), &SearchFilter::default(), 10).await.unwrap();
    assert!(hits.len() == 4 && hits.iter().all(|hit| hit.version == 2 || hit.document == other));
    assert_eq!(index.remove(of(tenant), document, Versions::All).await.unwrap(), 3);
    assert_eq!(index.remove(of(tenant), other, Versions::All).await.unwrap(), 1);
    assert!(
        index
            .search_text(of(tenant), "version other", &vector(0.0), &SearchFilter::default(), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

/// The first documents of many tenants, each tenant's added by several processes, all at once: between a look for a table and
/// its creation others have their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_once_though_several_make_it() {
    const TENANTS: usize = 12;
    let directory = TempDir::new().unwrap();
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(Arc::new(connect(&directory).await));
    }
    let tenants: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::generate()).collect();
    let mut adds = JoinSet::new();
    for (writer, index) in (0..).zip(&writers) {
        for tenant in tenants.clone() {
            let index = Arc::clone(index);
            adds.spawn(async move {
                let chunks = vec![chunk(writer, "boots", &[])];
                index.add(of(tenant), DocumentId::generate(), 1, chunks).await.unwrap();
            });
        }
    }
    adds.join_all().await;
    for tenant in tenants {
        assert_eq!(writers[0].rows(of(tenant)).await.unwrap(), writers.len() as u64);
    }
}

/// Each connection stands for a worker process: they share nothing but the directory.
#[tokio::test(flavor = "multi_thread")]
async fn several_writers_lose_nothing_and_small_adds_are_merged() {
    let directory = TempDir::new().unwrap();
    let writers = [connect(&directory).await, connect(&directory).await, connect(&directory).await];
    let tenant = TenantId::generate();
    let write = async |index: &LanceIndex| {
        for _ in 0..10 {
            let document = DocumentId::generate();
            let chunks = (0..2).map(|position| chunk(position, "boots", &[])).collect();
            index.add(of(tenant), document, 1, chunks).await.unwrap();
        }
    };
    tokio::join!(write(&writers[0]), write(&writers[1]), write(&writers[2]));
    for index in &writers {
        let all = SearchFilter::default();
        assert_eq!(index.search_vector(of(tenant), &vector(0.0), &all, 100).await.unwrap().len(), 60);
        assert_eq!(index.search_text(of(tenant), "boot", &vector(0.0), &all, 100).await.unwrap().len(), 60);
    }
}

/// A large fragment is searched in its file first, and in memory once its rows were read there: both find the same, and nothing
/// that was removed since.
#[tokio::test]
async fn a_large_fragment_is_searched_in_its_file_and_in_memory() {
    const ROWS: u32 = 1500;
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, all) = (TenantId::generate(), SearchFilter::default());
    let mut random = StdRng::seed_from_u64(2);
    let documents: Vec<DocumentId> = (0..6).map(|_| DocumentId::generate()).collect();
    let mut wanted = Vec::new();
    for document in &documents {
        let mut chunks: Vec<Chunk> =
            (0..ROWS).map(|n| Chunk { vector: turned(&mut random), ..chunk(n, "boots", &[]) }).collect();
        chunks[7].text = format!("only {document}");
        wanted.push((Place { document: *document, version: 1, position: 7 }, chunks[7].vector.clone()));
        index.add(of(tenant), *document, 1, chunks).await.unwrap();
    }
    // One fragment of 9 000 rows, with its indices.
    index.maintain(of(tenant)).await.unwrap();

    for round in 0..6 {
        for (place, vector) in &wanted {
            let near = index.search_vector(of(tenant), vector, &all, 5).await.unwrap();
            assert_eq!((near[0].place(), near.len()), (*place, 5), "{round}");
            assert!((near[0].similarity - 1.0).abs() < 1e-4, "{round}");
            let worded = index.search_text(of(tenant), &place.document.to_string(), vector, &all, 5).await.unwrap();
            assert_eq!(worded[0].place(), *place, "{round}");
            assert!((worded[0].similarity - 1.0).abs() < 1e-4, "{round}");
            let said = read(&index, tenant, &near[..1]).await;
            assert_eq!(said[0].text, format!("only {}", place.document), "{round}");
            let filter = SearchFilter { documents: vec![place.document], ..SearchFilter::default() };
            let of_it = index.search_vector(of(tenant), vector, &filter, 2000).await.unwrap();
            assert!(of_it.len() == ROWS as usize && of_it.iter().all(|hit| hit.document == place.document), "{round}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let (place, vector) = &wanted[2];
    let of_it = SearchFilter { documents: vec![place.document], ..SearchFilter::default() };
    let before = index.search_vector(of(tenant), vector, &all, 1).await.unwrap();
    assert_eq!(index.remove(of(tenant), place.document, Versions::All).await.unwrap(), u64::from(ROWS));
    let near = index.search_vector(of(tenant), vector, &all, 100).await.unwrap();
    assert!(near.len() == 100 && near.iter().all(|hit| hit.document != place.document));
    assert!(index.search_vector(of(tenant), vector, &of_it, 5).await.unwrap().is_empty());
    assert!(index.search_text(of(tenant), "boots", vector, &of_it, 5).await.unwrap().is_empty());
    assert!(read(&index, tenant, &before).await.is_empty());
}

/// A table that has outgrown reading every vector has an index of them, to which what comes later is added in few parts.
#[tokio::test]
async fn a_large_table_finds_what_trickles_in() {
    let directory = TempDir::new().unwrap();
    let index = connect(&directory).await;
    let (tenant, all) = (TenantId::generate(), SearchFilter::default());
    let mut random = StdRng::seed_from_u64(1);
    let mut chunks: Vec<Vec<Chunk>> = Vec::new();
    for rows in [400; 14].into_iter().chain([50; 26]) {
        chunks.push((0..rows).map(|n| Chunk { vector: turned(&mut random), ..chunk(n, "boots", &[]) }).collect());
    }
    let mut added: Vec<(Place, Embedding)> = Vec::new();
    for (n, mut chunks) in chunks.into_iter().enumerate() {
        let document = DocumentId::generate();
        for chunk in &mut chunks {
            chunk.text = format!("row{}", added.len());
            added.push((Place { document, version: 1, position: chunk.position }, chunk.vector.clone()));
        }
        index.add(of(tenant), document, 1, chunks).await.unwrap();
        if n == 30 {
            index.maintain(of(tenant)).await.unwrap();
        }
        for (place, vector) in added.iter().rev().step_by(997) {
            assert_eq!(index.search_vector(of(tenant), vector, &all, 5).await.unwrap()[0].place(), *place, "{n}");
        }
        for row in [0, added.len() - 1] {
            let (place, vector) = &added[row];
            let hits = index.search_text(of(tenant), &format!("row{row}"), vector, &all, 5).await.unwrap();
            assert_eq!(hits[0].place(), *place, "{n}");
        }
    }
}
