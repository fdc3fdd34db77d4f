use tests::files::{deflated_times, pdf_of, stream, zip};

use super::*;

/// Kilobytes that a process held at most.
fn peak_memory(worker: &WorkerHandle) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.process.id())).expect("a running process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the peak");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Each ends with a reason that its owner understands, and the worker's memory stays bounded.
#[tokio::test]
async fn hostile_documents_fail_with_a_reason_and_cost_little_memory() {
    let stack = Stack::builder().env("EXTRACT_SECONDS", "20").start().await;
    let (_, client) = stack.tenant("Fellmark").await;
    let before = {
        let warm = upload(&client, "warm.txt", "text/plain", b"The stove burns gas.".to_vec()).await;
        client.settled_document(&warm.id, LIMIT).await.unwrap();
        peak_memory(&stack.workers[0])
    };
    let megabyte = "<w:p><w:r><w:t>bomb</w:t></w:r></w:p>".repeat(28_000);
    let bomb = zip(&[("word/document.xml", deflated_times(megabyte.as_bytes(), 4_096))]);
    let form = "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 5 0 R>>>>/Length 5>>\nstream\n/X Do\nendstream";
    let looping = pdf_of(&[
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Count 1/Kids[3 0 R]>>".to_owned(),
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 5 0 R>>>>>>".to_owned(),
        stream("/X Do"),
        form.to_owned(),
    ]);
    let cases: [(&str, &str, Vec<u8>, &[&str]); 5] = [
        ("bomb.docx", "application/octet-stream", bomb, &["unpacks to more than", "takes too long"]),
        ("line.txt", "text/plain", "word ".repeat(10 * 1024 * 1024).into_bytes(), &["too long"]),
        ("looping.pdf", "application/pdf", looping, &["damaged", "could not be read", "takes too long"]),
        ("binary.txt", "text/plain", (0..=255).cycle().take(100_000).collect(), &["not text"]),
        ("blank.txt", "text/plain", b" \n".to_vec(), &["holds no text"]),
    ];
    for (name, content_type, bytes, reasons) in cases {
        let document = upload(&client, name, content_type, bytes).await;
        let failed = client.settled_document(&document.id, LIMIT).await.unwrap();
        let reason = failed.reason.unwrap_or_default();
        assert_eq!(failed.status.to_string(), "failed", "{name}");
        assert!(reasons.iter().any(|expected| reason.contains(expected)), "{name}: {reason}");
    }
    let after = peak_memory(&stack.workers[0]);
    eprintln!("the worker's peak: {} MB, before {} MB", after / 1024, before / 1024);
    // Twice the largest upload, and what a file of 50 MB leaves behind.
    assert!(after < before + 200 * 1024, "{before} kB before, {after} kB after");
    stack.finish().await;
}
