use super::*;
use crate::domain::ids::DocumentId;

fn source(heading: Option<&str>, content: &str, similarity: f32) -> Source {
    Source {
        document_id: DocumentId::generate(),
        document_name: "help.md".into(),
        chunk_id: "c".into(),
        content: content.into(),
        heading: heading.map(str::to_owned),
        page: None,
        similarity,
        score: 0.0,
        before: None,
        after: None,
    }
}

#[test]
fn the_sentence_that_answers_is_quoted_with_its_citation() {
    let sources = [
        source(
            Some("Returns"),
            "We are happy to help. You can return a tent within 30 days of delivery. Opened food is excluded.",
            0.6,
        ),
        source(Some("Shipping"), "Parcels leave our warehouse on weekdays.", 0.4),
    ];
    let answer = answer("How many days do I have to return a tent?", &sources);
    assert_eq!(answer.text, "You can return a tent within 30 days of delivery [1].");
    assert_eq!((answer.found, answer.cited), (true, vec![1]));
}

#[test]
fn a_second_source_joins_when_it_adds_a_word_of_the_question() {
    let sources = [
        source(None, "Standard shipping to Switzerland costs 9 EUR.", 0.6),
        source(None, "Shipping to Norway costs 12 EUR.", 0.55),
    ];
    let answer = answer("What does shipping to Switzerland and Norway cost?", &sources);
    assert_eq!(answer.text, "Standard shipping to Switzerland costs 9 EUR [1]. Shipping to Norway costs 12 EUR [2].");
    assert_eq!(answer.cited, [1, 2]);
}

#[test]
fn what_is_not_there_is_declined() {
    let sources = [source(Some("Returns"), "You can return a tent within 30 days of delivery.", 0.2)];
    for question in ["Who won the world cup in 1998?", "Do you sell kayaks?", "???", ""] {
        let answer = answer(question, &sources);
        assert_eq!(answer.text, NOT_IN_DOCUMENTS, "{question}");
        assert!(!answer.found && answer.cited.is_empty());
    }
    assert!(!answer("Can I return a tent?", &[]).found);
}

#[test]
fn tables_records_and_lists_read_well() {
    let table = "| Plan | Price | Seats |\n|---|---:|---|\n| Starter | 49 EUR | 5 |\n| Pro | 199 EUR | 20 |";
    assert_eq!(
        answer("What is the price of the Pro plan?", &[source(None, table, 0.5)]).text,
        "Plan: Pro; Price: 199 EUR; Seats: 20 [1]."
    );
    let rows = "sku: T-100\nname: Alpine tent\nweight: 2.4 kg\n\nsku: T-200\nname: Trail tent\nweight: 1.9 kg";
    let quoted = answer("What is the weight of the Trail tent?", &[source(None, rows, 0.5)]).text;
    assert_eq!(quoted, "sku: T-200; name: Trail tent; weight: 1.9 kg [1].");
    let faq = "question: Do you ship abroad?\nanswer: Yes, to all of Europe.\n\nquestion: Can I pick up?\nanswer: Yes, in Basel.";
    assert_eq!(answer("Do you ship abroad?", &[source(None, faq, 0.7)]).text, "Yes, to all of Europe [1].");
    let list = "We accept these payment methods:\n\n- **Visa**\n- [PayPal](https://paypal.com)\n- Twint";
    let quoted = answer("Which payment methods do you accept?", &[source(None, list, 0.7)]).text;
    assert_eq!(quoted, "We accept these payment methods: Visa; PayPal; Twint [1].");
}

#[test]
fn a_heading_gives_its_sentences_meaning() {
    let sources =
        [source(Some("Help › Warranty"), "It lasts three years from the date of purchase. Keep the receipt.", 0.55)];
    let quoted = answer("How long is the warranty?", &sources).text;
    assert!(quoted.starts_with("It lasts three years"), "{quoted}");
}
