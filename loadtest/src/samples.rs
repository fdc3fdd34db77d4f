//! The sample knowledge base: the help pages of Fellmark Outdoor, a shop that does not exist, and questions about them.
//!
//! Built into the binary, so that the demonstration runs from any directory.

use serde::Deserialize;

use crate::client::{Client, ClientError, Document, FileUpload, TextUpload};

/// One document; its file name is also its name in the product.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub file_name: &'static str,
    pub bytes: &'static [u8],
}

/// A question and where its answer is; no document means that none of them answers it.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    pub question: String,
    pub expected_document: Option<String>,
    /// Stands word for word in the document, but for white space.
    pub expected_phrase: Option<String>,
}

macro_rules! embed {
    ($($file:literal),+ $(,)?) => {
        &[$(Sample { file_name: $file, bytes: include_bytes!(concat!("../samples/", $file)) }),+]
    };
}

const DOCUMENTS: &[Sample] = embed![
    "returns-and-refunds.md",
    "shipping.html",
    "shipping-rates.csv",
    "order-tracking.txt",
    "payment-methods.md",
    "warranty.pdf",
    "account-and-login.md",
    "contact-and-opening-hours.txt",
    "size-guide.md",
    "trail-club.md",
    "gear-rental.md",
    "gift-cards.txt",
    "repair-prices.csv",
    "troubleshooting.pdf",
    "faq.json",
    "privacy.html",
];

pub fn documents() -> &'static [Sample] {
    DOCUMENTS
}

pub fn questions() -> Vec<Question> {
    include_str!("../samples/questions.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("the unit tests read every line"))
        .collect()
}

impl Sample {
    pub fn content_type(&self) -> &'static str {
        match self.file_name.rsplit('.').next() {
            Some("md") => "text/markdown",
            Some("html") => "text/html",
            Some("csv") => "text/csv",
            Some("json") => "application/json",
            Some("pdf") => "application/pdf",
            _ => "text/plain",
        }
    }

    /// The text of a Markdown, plain text or JSON sample, which travels in a JSON body; the others travel as files.
    fn json_text(&self) -> Option<&'static str> {
        match self.content_type() {
            "text/markdown" | "text/plain" | "application/json" => std::str::from_utf8(self.bytes).ok(),
            _ => None,
        }
    }

    pub async fn upload(&self, client: &Client) -> Result<Document, ClientError> {
        let (name, content_type) = (self.file_name.to_owned(), self.content_type().to_owned());
        match self.json_text() {
            Some(text) => {
                let text = text.to_owned();
                client.upload_text(&TextUpload { name, content_type, text, ..TextUpload::default() }).await
            }
            None => {
                let bytes = self.bytes.to_vec();
                client.upload_file(FileUpload { file_name: name, content_type, bytes, ..FileUpload::default() }).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeeze(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// PDFs are left out: their text cannot be read without a PDF library.
    #[test]
    fn every_expected_phrase_stands_in_its_document() {
        for question in questions() {
            let Some(expected) = &question.expected_document else {
                assert!(question.expected_phrase.is_none(), "{question:?}");
                continue;
            };
            let sample = documents().iter().find(|sample| sample.file_name == expected).expect(expected);
            if sample.content_type() != "application/pdf" {
                let text = squeeze(std::str::from_utf8(sample.bytes).unwrap());
                let phrase = question.expected_phrase.as_deref().expect("an answer has a phrase");
                assert!(text.contains(&squeeze(phrase)), "{expected} does not say {phrase:?}");
            }
        }
    }

    #[test]
    fn every_document_is_asked_about_and_some_questions_have_no_answer() {
        let questions = questions();
        for sample in documents() {
            let asked =
                questions.iter().any(|question| question.expected_document.as_deref() == Some(sample.file_name));
            assert!(asked, "no question about {}", sample.file_name);
        }
        assert!(questions.iter().filter(|question| question.expected_document.is_none()).count() >= 8);
    }
}
