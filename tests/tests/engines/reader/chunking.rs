use std::collections::HashSet;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tokenizers::Tokenizer;

use super::*;

/// Tokens that the model reads of a passage, its own two left out.
const MODEL_TOKENS: usize = 254;

fn tokenizer() -> Tokenizer {
    let mut tokenizer = Tokenizer::from_file(model_dir().join("tokenizer.json")).unwrap();
    tokenizer.with_truncation(None).unwrap().with_padding(None);
    tokenizer
}

/// Texts with headings, sentences, rows, long words and scripts without spaces.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => "[a-z]{1,12}",
        2 => "[A-ZÄÖÜČŠŽ][a-zäöüßčšž]{1,20}",
        1 => "[0-9]{1,9}",
        1 => "[一-龥]{1,60}",
        1 => "[ก-ฮ]{1,60}",
        1 => "[a-zA-Z0-9/+]{30,120}",
    ];
    let gap = prop_oneof![
        12 => Just(" "), 2 => Just(". "), 1 => Just(", "), 1 => Just("\n"), 1 => Just("\n\n"), 1 => Just("\n# "),
        1 => Just("\n- "), 1 => Just("。"), 1 => Just("\n### "),
    ];
    prop::collection::vec((word, gap), 1..250)
        .prop_map(|parts| parts.into_iter().map(|(word, gap)| word + gap).collect())
}

/// Every word of the input is in some passage, and no passage is longer than the model reads.
#[test]
fn nothing_is_dropped_and_nothing_is_too_long() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (reader, tokenizer) = (reader(), tokenizer());
    let mut runner = TestRunner::new(Config { cases: 8, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(text(), any::<bool>()), |(text, markdown)| {
        let content_type = if markdown { "text/markdown" } else { "text/plain" };
        let read = runtime.block_on(reader.read(text.as_bytes(), content_type)).unwrap();
        let mut found = HashSet::new();
        for passage in &read {
            let heading = passage.heading.as_deref().unwrap_or_default();
            let embedded = format!("{heading}\n{}", passage.text);
            let tokens = tokenizer.encode_fast(embedded.as_str(), false).unwrap().len();
            prop_assert!(tokens <= MODEL_TOKENS, "{tokens} tokens: {embedded}");
            found.extend(embedded.split_whitespace().map(str::to_owned));
        }
        let signs = |word: &str| word.chars().all(|character| "#-.,。".contains(character));
        let words = text.split(|character: char| character.is_whitespace() || character == '。');
        for word in words.filter(|word| !word.is_empty() && !signs(word)) {
            // A run without spaces may be cut; its pieces are there.
            let cut = word.chars().count() > 40 || !word.is_ascii();
            let there = found.iter().any(|found| found.contains(word));
            let pieces = || word.chars().all(|character| found.iter().any(|found| found.contains(character)));
            prop_assert!(there || (cut && pieces()), "{word} is lost");
        }
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn passages_end_where_the_text_pauses() {
    let sentence =
        |n: usize| format!("Sentence number {n} says that the tent number {n} weighs {n} grams and is green.");
    let text = (0..60).map(sentence).collect::<Vec<_>>().join(" ");
    let read = passages(text, "text/plain").await;
    assert!(read.len() > 3);
    for passage in &read {
        assert!(passage.text.starts_with("Sentence") && passage.text.ends_with("green."), "{}", passage.text);
    }
    let japanese = "これはテントです。とても軽くて、雨に強いです。値段は一万円です。".repeat(40);
    let numbered: String = japanese.split_inclusive('。').enumerate().map(|(n, text)| format!("{n}{text}")).collect();
    let read = passages(numbered, "text/plain").await;
    assert!(read.len() > 3 && read.iter().all(|passage| passage.text.ends_with('。')));
}

#[tokio::test]
async fn what_is_said_twice_is_stored_once_unless_it_differs_in_a_word() {
    let notice = "All prices include the value added tax of the country that we deliver to. ".repeat(3);
    let filler: String = (0..400).map(|n| format!("Filler word{n} of its own. ")).collect();
    let text = format!("# A\n\n{notice}\n\n# B\n\n{filler}\n\n# A\n\n{}\n\n# C\n\n{notice}", notice.to_uppercase());
    let read = passages(text, "text/markdown").await;
    let of = |heading: &str| read.iter().filter(|passage| passage.heading.as_deref() == Some(heading)).count();
    assert_eq!((of("A"), of("C")), (1, 1), "the same under another heading stays");
    assert!(read.iter().any(|passage| passage.text.contains("word399")));
    let rows = (0..2).map(|n| format!("# Row\n\n{notice}{n}")).collect::<Vec<_>>().join("\n\n");
    assert_eq!(passages(rows, "text/markdown").await.len(), 2, "a number makes the difference");
}
