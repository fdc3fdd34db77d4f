//! Text to sentences.

/// Words that end in a full stop without ending a sentence.
const ABBREVIATIONS: [&str; 26] = [
    "approx", "bzw", "ca", "cf", "dr", "e.g", "eg", "etc", "evtl", "fig", "i.e", "ie", "inc", "incl", "ltd", "max",
    "min", "mr", "mrs", "ms", "no", "nr", "st", "u.a", "vs", "z.b",
];

/// The sentences of a text, trimmed; none is empty, nothing is left out.
pub fn split(text: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (at, mark) in text.char_indices() {
        let end = at + mark.len_utf8();
        if ends_sentence(&text[start..at], mark, &text[end..]) {
            sentences.push(text[start..end].trim().to_owned());
            start = end;
        }
    }
    sentences.push(text[start..].trim().to_owned());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn ends_sentence(before: &str, mark: char, after: &str) -> bool {
    match mark {
        '。' | '！' | '？' => true,
        '.' | '!' | '?' | '…' => {
            let spaced = after.is_empty() || after.starts_with(char::is_whitespace);
            let next = after.trim_start().chars().next();
            spaced && !next.is_some_and(char::is_lowercase) && !(mark == '.' && is_abbreviated(before))
        }
        _ => false,
    }
}

/// Whether a full stop after this text belongs to its last word: an abbreviation, an initial, a number as in `1. Mai`.
fn is_abbreviated(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default().trim_start_matches(['(', '"', '“']);
    let initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let ordinal = matches!(word.len(), 1 | 2) && word.bytes().all(|byte| byte.is_ascii_digit());
    initial || ordinal || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(
            split("Free over 50 EUR. Else 4.90 EUR! Why? See below"),
            ["Free over 50 EUR.", "Else 4.90 EUR!", "Why?", "See below"]
        );
        assert_eq!(
            split("Use a carrier, e.g. Swiss Post. Ask Dr. Mayer."),
            ["Use a carrier, e.g. Swiss Post.", "Ask Dr. Mayer."]
        );
        assert_eq!(split("Gültig ab 1. Mai 2024. Danach nicht."), ["Gültig ab 1. Mai 2024.", "Danach nicht."]);
        assert_eq!(split("三十日以内です。返金します。"), ["三十日以内です。", "返金します。"]);
        assert_eq!(split("  "), Vec::<String>::new());
    }
}
