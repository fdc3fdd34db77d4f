mod chunking;
mod hostile;
mod office;

use std::path::{Path, PathBuf};

use jobs::ports::{DocumentReader, Passage, ReadError};
use worker::engines::{
    reader::{FileReader, ReaderConfig},
    tokenizer,
};

use super::model_dir;

/// The worker binary, which is the parser's child process: where `make test` built it, else beside this test's.
fn worker_binary() -> PathBuf {
    let beside = || std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    std::env::var_os("METACHAT_BIN_DIR").map_or_else(beside, PathBuf::from).join("metachat-worker")
}

fn reader() -> FileReader {
    reader_with(worker_binary(), 60)
}

fn reader_with(program: PathBuf, extract_seconds: u64) -> FileReader {
    let tokenizer = tokenizer::load(&model_dir().join("tokenizer.json")).unwrap();
    let config = ReaderConfig { extract_program: Some(program), extract_seconds };
    FileReader::connect(&config, &model_dir(), tokenizer).unwrap()
}

async fn passages(bytes: impl Into<Vec<u8>>, content_type: &str) -> Vec<Passage> {
    reader().read(&bytes.into(), content_type).await.unwrap()
}

async fn refusal(bytes: impl Into<Vec<u8>>, content_type: &str) -> String {
    match reader().read(&bytes.into(), content_type).await {
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
async fn encodings_are_told_by_the_letters_or_by_name() {
    // "Größe und Maße der Straße" in windows-1252; "Český žluťoučký kůň" in ISO 8859-2; Russian in windows-1251.
    assert_eq!(
        passages(b"Die Gr\xf6\xdfe und Ma\xdfe der Stra\xdfe".to_vec(), "text/plain").await[0].text,
        "Die Größe und Maße der Straße"
    );
    let czech = b"P\xf8\xedli\xb9 \xbelu\xbbou\xe8k\xfd k\xf9\xf2 \xfap\xecl \xef\xe1belsk\xe9 \xf3dy".to_vec();
    let expected = "Příliš žluťoučký kůň úpěl ďábelské ódy";
    assert_eq!(passages(czech.clone(), "text/plain; charset=iso-8859-2").await[0].text, expected);
    assert_eq!(passages(czech, "text/plain").await[0].text, expected);
    let page =
        [b"<html><head><meta charset=\"windows-1251\"></head><body><p>\xcf\xf0\xe8\xe2\xe5\xf2</p></body></html>"
            .as_slice()];
    assert_eq!(passages(page.concat(), "text/html").await[0].text, "Привет");
    let unmarked: Vec<u8> = "Without a mark, but wide".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(passages(unmarked, "text/plain").await[0].text, "Without a mark, but wide");
    // One broken character among many whole ones does not make it another encoding.
    let broken =
        [b"\xff ".as_slice(), "Größe, Maße, Straße, Füße, Übung, Äpfel, Öl, süß, heiß, weiß, groß".as_bytes()].concat();
    assert!(passages(broken, "text/plain").await[0].text.starts_with("\u{fffd} Größe, Maße"));
}

#[tokio::test]
async fn html_keeps_its_text_whatever_it_is_wrapped_in() {
    let words = "The tent weighs two kilograms and stands in a storm. ".repeat(20);
    let all_in_aside = format!("<html><body><aside><p>{words}</p></aside></body></html>");
    assert!(passages(all_in_aside, "text/html").await[0].text.contains("two kilograms"));
    let links = "<li><a href='/x'>Tents and more tents</a></li>".repeat(60);
    let page = format!(
        "<html><head><title>Tents</title></head><body><nav><ul>{links}</ul></nav>\
        <div id='cookie-banner'>We use cookies</div><div role='banner'>Logo</div><div hidden>unseen</div>\
        <main><article><header><h2>Weight</h2></header><p>{words}</p><table><tr><td>Width</td><td>140 cm</td></tr></table>\
        <p class='cookie-recipe'>Cookies for the tent.</p></article></main><footer>Imprint</footer></body></html>"
    );
    let read = passages(page, "text/html").await;
    let text: String = read.iter().map(|passage| format!("{} ", passage.text)).collect();
    assert_eq!(read[0].heading.as_deref(), Some("Tents › Weight"));
    assert!(
        text.contains("two kilograms") && text.contains("140 cm") && text.contains("Cookies for the tent"),
        "{text}"
    );
    for frame in ["more tents", "We use cookies", "Logo", "unseen", "Imprint"] {
        assert!(!text.contains(frame), "{frame}");
    }
}

#[tokio::test]
async fn separators_and_lines_of_json_are_found() {
    for separator in [",", ";", "\t", "|"] {
        let csv = ["name,price", "Tent,\"1,5\"", "Stove,2"].join("\n").replace(',', separator);
        let expected = format!("name: Tent\nprice: 1{separator}5\n\nname: Stove\nprice: 2").replace('\t', " ");
        assert_eq!(passages(csv, "text/csv").await[0].text, expected);
    }
    let lines = "{\"name\":\"Tent\"}\n{\"name\":\"Stove\"}\n";
    assert_eq!(passages(lines, "application/x-ndjson").await[0].text, "name: Tent\n\nname: Stove");
}

#[tokio::test]
async fn unreadable_files_say_why() {
    assert_eq!(refusal("", "text/plain").await, "The file is empty.");
    assert_eq!(refusal(" \n\t ", "text/plain").await, "The file holds no text.");
    assert!(refusal(b"\x89PNG\r\n\x1a\n".to_vec(), "text/plain").await.contains("PNG image"));
    assert!(refusal(b"PK\x03\x04rest".to_vec(), "application/pdf").await.contains("archive could not be opened"));
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
    let read = reader_with("/nowhere".into(), 60).read(b"a,b\n1,2", "text/csv").await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
}
