//! Colours and line breaks for a terminal; plain text everywhere else.

use std::io::{IsTerminal, stdout};

/// Lines are broken at this width.
const WIDTH: usize = 100;

#[derive(Clone, Copy, Debug)]
pub(super) struct Ink {
    coloured: bool,
}

impl Ink {
    /// Coloured on a terminal, unless `NO_COLOR` is set.
    pub(super) fn for_stdout() -> Self {
        Self { coloured: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self.coloured {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Breaks a text into lines that fit beside an indent; line breaks in the text are kept.
pub(super) fn wrap(text: &str, indent: usize) -> String {
    let width = WIDTH - indent;
    let mut lines = Vec::new();
    for paragraph in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join(&format!("\n{:indent$}", ""))
}

/// The beginning of a text on one line.
pub(super) fn snippet(text: &str, length: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        let text = "word ".repeat(40);
        let wrapped = wrap(&text, 10);
        assert_eq!(wrapped.split_whitespace().count(), 40);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("          w") && line.len() <= WIDTH));
    }

    #[test]
    fn a_snippet_ends_at_a_character() {
        assert_eq!(snippet("Grüße\n aus  Hall", 4), "Grüß…");
        assert_eq!(snippet("kurz", 4), "kurz");
    }
}
