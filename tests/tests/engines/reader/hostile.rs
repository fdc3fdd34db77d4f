//! Files made to break a parser: each ends with a reason, within its limits.

use std::time::{Duration, Instant};

use tests::files::{deflated, deflated_times, pdf, pdf_of, stream, zip};

use super::*;

/// Reads within so many seconds of processor time; returns the reason or the number of passages.
async fn ended(bytes: Vec<u8>, content_type: &str, seconds: u64) -> Result<usize, String> {
    let started = Instant::now();
    let read = reader_with(worker_binary(), seconds).read(&bytes, content_type).await;
    assert!(started.elapsed() < Duration::from_secs(2 * seconds + 5), "{:?}", started.elapsed());
    match read {
        Ok(passages) => Ok(passages.len()),
        Err(ReadError::Unreadable(reason)) => Err(reason),
        Err(other) => panic!("{content_type}: {other:?}"),
    }
}

#[tokio::test]
async fn a_document_that_unpacks_to_gigabytes_is_refused() {
    let megabyte = "<w:p><w:r><w:t>bomb</w:t></w:r></w:p>".repeat(28_000);
    let bomb = deflated_times(megabyte.as_bytes(), 4_096);
    let file = zip(&[("word/document.xml", bomb)]);
    assert!(file.len() < 50 * 1024 * 1024, "{}", file.len());
    let reason = ended(file, "application/octet-stream", 10).await.unwrap_err();
    assert!(reason.contains("unpacks to more than 256 MB") || reason.contains("takes too long"), "{reason}");
    // One text of a gigabyte.
    let text = deflated_times("bomb ".repeat(200_000).as_bytes(), 1_024);
    let open = [deflated_times(b"<w:document><w:p><w:t>", 1), text].concat();
    let reason = ended(zip(&[("word/document.xml", open)]), "application/octet-stream", 10).await;
    assert!(reason.is_err() || reason == Ok(1), "{reason:?}");
    let reason = ended(zip(&[("a.txt", deflated(b"text"))]), "application/octet-stream", 60).await.unwrap_err();
    assert!(reason.contains("ZIP archive and no Office document"), "{reason}");
}

#[tokio::test]
async fn pdfs_that_never_end_are_given_up() {
    let catalogue = "<</Type/Catalog/Pages 2 0 R>>".to_owned();
    // A page tree that is its own child.
    let tree = "<</Type/Pages/Count 1/Kids[2 0 R 3 0 R]>>".to_owned();
    let page =
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>".to_owned();
    let contents = stream("/X Do");
    // A form that draws itself.
    let form = "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>/Length 5>>\nstream\n/X Do\nendstream";
    let own_child = pdf_of(&[catalogue.clone(), tree, page.clone(), contents.clone(), form.to_owned()]);
    ended(own_child, "application/pdf", 5).await.unwrap_err();
    let draws_itself =
        pdf_of(&[catalogue.clone(), "<</Type/Pages/Count 1/Kids[3 0 R]>>".to_owned(), page, contents, form.to_owned()]);
    ended(draws_itself, "application/pdf", 5).await.unwrap_err();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    ended(pdf_of(&[catalogue, deep]), "application/pdf", 5).await.unwrap_err();
    let scan = ended(pdf(&[String::new()]), "application/pdf", 30).await.unwrap_err();
    assert!(scan.contains("no text. It may be a scan"), "{scan}");
}

#[tokio::test]
async fn fifty_megabytes_in_one_line_are_too_long() {
    let line = "word ".repeat(10 * 1024 * 1024);
    for content_type in ["text/plain", "text/markdown", "text/csv"] {
        let reason = ended(line.clone().into_bytes(), content_type, 20).await.unwrap_err();
        assert!(reason.contains("too long"), "{content_type}: {reason}");
    }
    let one_word = ended(vec![b'a'; 300_000], "text/plain", 60).await.unwrap();
    assert!((1..2_000).contains(&one_word), "{one_word}");
}

#[tokio::test]
async fn deep_nesting_is_read_or_refused() {
    let deep = |open: &str, close: &str| format!("{}tent{}", open.repeat(100_000), close.repeat(100_000)).into_bytes();
    let json = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let reason = ended(json.into_bytes(), "application/json", 30).await.unwrap_err();
    assert!(reason.contains("nested too deeply"), "{reason}");
    // Within its limits, whatever comes of it.
    let _ = ended([b"<html>".to_vec(), deep("<div>", "</div>")].concat(), "text/html", 10).await;
    let _ = ended(deep("> ", "\n"), "text/markdown", 30).await;
    let paragraphs = deep("<w:tbl><w:tr><w:tc><w:p><w:t>x</w:t>", "</w:p></w:tc></w:tr></w:tbl>");
    let _ = ended(zip(&[("word/document.xml", deflated(&paragraphs))]), "application/octet-stream", 30).await;
}

#[tokio::test]
async fn a_hundred_thousand_cells_are_read() {
    let mut csv = "name,price,weight,colour,size,stock,country,year,code,note\n".to_owned();
    for row in 0..10_000 {
        csv.push_str(&format!("n{row},{row},{row},red,{row},{row},at,2024,c{row},none\n"));
    }
    let started = Instant::now();
    let read = reader_with(worker_binary(), 120).read(csv.as_bytes(), "text/csv").await.unwrap();
    eprintln!("{} passages in {:?}", read.len(), started.elapsed());
    assert!((1_000..20_000).contains(&read.len()), "{}", read.len());
    assert!(read.iter().all(|passage| passage.text.contains("name: n")));
}

#[tokio::test]
async fn what_is_no_text_is_refused_whatever_it_is_called() {
    let noise: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(ended(noise, "text/plain", 10).await.unwrap_err().contains("not text"));
    let late = [b"text ".repeat(4_000), vec![1; 1_000]].concat();
    assert!(ended(late, "text/plain", 10).await.unwrap_err().contains("not text"));
    let locked =
        [b"\xD0\xCF\x11\xE0".to_vec(), "EncryptedPackage".encode_utf16().flat_map(u16::to_le_bytes).collect()].concat();
    assert!(ended(locked, "application/octet-stream", 10).await.unwrap_err().contains("encrypted"));
    let read = ended(b"caf\xe9 \xff\xfe au lait \xc3".to_vec(), "text/plain", 10).await;
    assert_eq!(read, Ok(1), "broken UTF-8");
}
