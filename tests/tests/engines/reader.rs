use std::path::{Path, PathBuf};

use jobs::ports::{DocumentReader, Passage, ReadError};
use worker::engines::reader::{FileReader, ReaderConfig};

use super::model_dir;

/// The worker binary, which is the parser's child process: where `make test` built it, else beside this test's.
fn worker_binary() -> PathBuf {
    let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    std::env::var_os("METACHAT_BIN_DIR").map_or_else(beside, PathBuf::from).join("metachat-worker")
}

fn reader() -> FileReader {
    FileReader::connect(&ReaderConfig { extract_program: Some(worker_binary()) }, &model_dir()).unwrap()
}

async fn passages(bytes: impl Into<Vec<u8>>, content_type: &str) -> Vec<Passage> {
    reader().read(bytes.into(), content_type).await.unwrap()
}

async fn refusal(bytes: impl Into<Vec<u8>>, content_type: &str) -> String {
    match reader().read(bytes.into(), content_type).await {
        Err(ReadError::Unreadable(reason)) => reason,
        other => panic!("{content_type}: {other:?}"),
    }
}

fn sample(name: &str) -> Vec<u8> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../loadtest/samples");
    std::fs::read(samples.join(name)).unwrap()
}

#[tokio::test]
async fn markdown_keeps_its_heading_path_and_drops_nothing() {
    let markdown = "Before.\n\n# Returns\n\nFirst.\n\n## Time limit\n\n30 days.\n\n```\n# no heading\n```\n\n## Empty\n\n# Contact\nCall us.";
    let passages = passages(markdown, "text/markdown; charset=utf-8").await;
    let read: Vec<(Option<&str>, &str)> =
        passages.iter().map(|passage| (passage.heading.as_deref(), passage.text.as_str())).collect();
    assert_eq!(
        read,
        [
            (None, "Before."),
            (Some("Returns"), "First."),
            (Some("Returns › Time limit"), "30 days.\n\n```\n# no heading\n```"),
            (Some("Returns › Empty"), "## Empty"),
            (Some("Contact"), "Call us."),
        ]
    );
}

#[tokio::test]
async fn long_texts_overlap_and_lose_no_word() {
    let words: Vec<String> = (0..3000).map(|number| format!("word{number}")).collect();
    let passages = passages(words.join(" "), "text/plain").await;
    assert!(passages.len() > 20);
    for pair in passages.windows(2) {
        let start = pair[1].text.split(' ').next().unwrap();
        assert!(pair[0].text.split(' ').any(|word| word == start), "{start} is in one passage only");
    }
    let all: Vec<&str> = passages.iter().flat_map(|passage| passage.text.split(' ')).collect();
    assert!(words.iter().all(|word| all.contains(&word.as_str())));
}

#[tokio::test]
async fn html_loses_its_frame() {
    let html = "<!DOCTYPE html><html><head><title>T</title><style>p{}</style></head><body><nav>Menu</nav><header>Top</header>\
        <h1>Shipping</h1><p>Two <a href='/days'>days</a>.</p><script>alert(1)</script><ul><li>Post</li></ul><footer>Imprint</footer></body></html>";
    let passages = passages(html, "text/plain").await;
    assert_eq!(passages.len(), 1);
    assert_eq!((passages[0].heading.as_deref(), passages[0].text.as_str()), (Some("Shipping"), "Two days.\n\n- Post"));
}

#[tokio::test]
async fn tables_and_records_become_lines() {
    let csv = "\u{feff}country;price\nAustria;\"4,90 \"\"net\"\"\"\n\nNorway;\n";
    assert_eq!(
        passages(csv, "application/octet-stream").await[0].text,
        "country: Austria\nprice: 4,90 \"net\"\n\ncountry: Norway"
    );
    let json = r#"{"shop":{"name":"Fellmark","days":["Mon","Tue"]},"faq":[{"question":"A?","answer":"B."},{"question":"C?","answer":"D."}]}"#;
    let expected = "shop.name: Fellmark\nshop.days: Mon, Tue\n\nquestion: A?\nanswer: B.\n\nquestion: C?\nanswer: D.";
    let read = passages(json, "application/octet-stream").await[0].text.clone();
    // Field order is the file's only when serde_json keeps it.
    assert_eq!(read.len(), expected.len());
    assert!(read.contains("question: C?"), "{read}");
}

#[tokio::test]
async fn a_pdf_keeps_its_pages() {
    let passages = passages(sample("warranty.pdf"), "application/octet-stream").await;
    assert_eq!(passages[0].page, Some(1));
    assert!(passages.iter().any(|passage| passage.page == Some(2)));
    assert!(passages.iter().any(|passage| passage.text.contains("warranty")));
}

#[tokio::test]
async fn other_encodings_are_read_by_their_mark() {
    let utf16: Vec<u8> = "\u{feff}Größe 42".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(passages(utf16, "text/plain").await[0].text, "Größe 42");
    let big_endian: Vec<u8> = "\u{feff}Größe 43".encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(passages(big_endian, "text/plain").await[0].text, "Größe 43");
    assert_eq!(passages("\u{feff}x", "text/plain").await[0].text, "x");
}

#[tokio::test]
async fn unreadable_files_say_why() {
    assert_eq!(refusal("", "text/plain").await, "The file is empty.");
    assert_eq!(refusal(" \n\t ", "text/plain").await, "The file holds no text.");
    assert!(refusal(b"caf\xe9 au lait".to_vec(), "text/plain").await.contains("not valid UTF-8"));
    assert!(refusal(b"\x89PNG\r\n\x1a\n".to_vec(), "text/plain").await.contains("PNG image"));
    assert!(refusal(b"PK\x03\x04rest".to_vec(), "application/pdf").await.contains("Office document"));
    assert!(refusal(vec![0, 1, 2, 3], "text/plain").await.contains("not text"));
    assert!(refusal("{\"a\": [1, 2", "application/json").await.contains("JSON is not valid"));
    assert!(refusal("%PDF-1.7 and nothing more", "application/pdf").await.contains("damaged"));
}

#[tokio::test]
async fn damaged_and_encrypted_pdfs_are_refused() {
    let pdf = sample("warranty.pdf");
    let half = refusal(&pdf[..pdf.len() / 2], "application/pdf").await;
    assert!(half.contains("damaged"), "{half}");
    let at = pdf.windows(7).rposition(|window| window == b"trailer").unwrap() + 7;
    let dictionary = at + pdf[at..].windows(2).position(|window| window == b"<<").unwrap() + 2;
    let key = "(0123456789abcdef0123456789abcdef)";
    let encrypt = format!("/Encrypt<</Filter/Standard/V 1/R 2/O{key}/U{key}/P -44>>/ID[(a)(a)]");
    let locked = [&pdf[..dictionary], encrypt.as_bytes(), &pdf[dictionary..]].concat();
    assert_eq!(refusal(locked, "application/pdf").await, "The PDF is encrypted. Upload a version without a password.");
}

#[tokio::test]
async fn a_parser_that_does_not_start_is_our_fault() {
    let reader = FileReader::connect(&ReaderConfig { extract_program: Some("/nowhere".into()) }, &model_dir()).unwrap();
    let read = reader.read(b"a,b\n1,2".to_vec(), "text/csv").await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
}
