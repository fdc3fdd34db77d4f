//! The answer that follows from a prompt.

use serde_json::Value;

/// What the model says when the prompt holds no source.
pub const DOES_NOT_KNOW: &str = "I don't know. The documents I was given do not say.";

const LONGEST_QUOTE: usize = 300;

/// Quotes the first numbered source of the system and user messages with its marker `[1]`. The model's own earlier turns
/// are not looked at: they hold markers too.
pub(super) fn answer(messages: &[Value]) -> String {
    let prompt: Vec<String> = messages
        .iter()
        .filter(|message| message["role"] != "assistant")
        .map(|message| text(&message["content"]))
        .collect();
    match first_source(&prompt.join("\n")) {
        Some(sentence) => format!("{sentence} [1]"),
        None => DOES_NOT_KNOW.to_owned(),
    }
}

/// A message's content is a string or a list of parts.
pub(super) fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// The first sentence of the source whose line starts with `[1]`. A marker line that ends like a sentence is the source
/// itself; otherwise it is the title of the paragraph that follows.
fn first_source(prompt: &str) -> Option<String> {
    let mut lines = prompt.lines().map(str::trim).skip_while(|line| !line.starts_with("[1]"));
    let title = lines.next()?.trim_start_matches("[1]").trim();
    let paragraph: Vec<&str> = lines
        .take_while(|line| !line.starts_with("[2]"))
        .skip_while(|line| line.is_empty() || line.starts_with('#'))
        .take_while(|line| !line.is_empty())
        .collect();
    let text = match paragraph.is_empty() || title.ends_with(['.', '!', '?']) {
        true => title.to_owned(),
        false => paragraph.join(" "),
    };
    Some(first_sentence(&text)).filter(|sentence| !sentence.is_empty())
}

fn first_sentence(line: &str) -> String {
    let end =
        line.match_indices(['.', '!', '?']).map(|(at, mark)| at + mark.len()).find(|&end| line[end..].starts_with(' '));
    line[..end.unwrap_or(line.len())].chars().take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_source_is_quoted() {
        let messages = [
            json!({"role": "system", "content": "Answer from the sources and cite them as [1].\n\n\
                [1] returns.md, Returns > How long\n## How long\n\nYou have 60 days to\nreturn an item, i.e.two months. \
                Worn items stay with you.\n\n\
                [2] Shipping\nWe ship daily."}),
            json!({"role": "user", "content": "How long do I have?"}),
        ];
        assert_eq!(answer(&messages), "You have 60 days to return an item, i.e.two months. [1]");
    }

    #[test]
    fn a_source_on_the_marker_line_is_quoted() {
        let messages =
            [json!({"role": "user", "content": [{"type": "text", "text": "[1] Tents last 5 years.\n[2] No."}]})];
        assert_eq!(answer(&messages), "Tents last 5 years. [1]");
    }

    #[test]
    fn nothing_is_invented() {
        let messages = [
            json!({"role": "assistant", "content": "[1] From an earlier turn."}),
            json!({"role": "user", "content": "Who won?"}),
        ];
        assert_eq!(answer(&messages), DOES_NOT_KNOW);
    }
}
