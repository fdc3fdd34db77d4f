//! Paragraphs and tables as they are put together while an XML file is read, for text and slides alike.

use super::table;

/// Blocks of text, apart by blank lines. Paragraphs may be nested (text boxes), tables too.
#[derive(Default)]
pub struct Blocks {
    done: Vec<String>,
    paragraphs: Vec<Paragraph>,
    tables: Vec<Vec<Vec<String>>>,
}

/// A paragraph that is being read.
#[derive(Default)]
pub struct Paragraph {
    pub text: String,
    /// 1 to 6 for a heading, 0 for text.
    pub level: usize,
    pub list_item: bool,
}

impl Blocks {
    /// Begins what an element of this name begins, by the names that text and slides share.
    pub fn open(&mut self, name: &str) {
        match name {
            "p" => self.paragraphs.push(Paragraph::default()),
            "tbl" => self.tables.push(Vec::new()),
            "tr" => self.open_row(),
            "tc" => self.open_cell(),
            _ => {}
        }
    }

    /// Ends what [`Blocks::open`] began.
    pub fn close(&mut self, name: &str) {
        match name {
            "p" => self.close_paragraph(),
            "tbl" => self.close_table(),
            _ => {}
        }
    }

    /// The innermost one.
    pub fn paragraph(&mut self) -> Option<&mut Paragraph> {
        self.paragraphs.last_mut()
    }

    pub fn push_text(&mut self, text: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn close_paragraph(&mut self) {
        let Some(Paragraph { text, level, list_item }) = self.paragraphs.pop() else { return };
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let text = lines.join("\n").trim().to_owned();
        if text.is_empty() {
            return;
        }
        if let Some(cell) = self.tables.last_mut().and_then(|rows| rows.last_mut()?.last_mut()) {
            if !cell.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&text.replace('\n', " "));
        } else if level > 0 {
            self.done.push(format!("{} {}", "#".repeat(level.min(6)), text.replace('\n', " ")));
        } else if list_item {
            self.push_list_item(&text);
        } else {
            self.done.push(text);
        }
    }

    fn open_row(&mut self) {
        if let Some(rows) = self.tables.last_mut() {
            rows.push(Vec::new());
        }
    }

    fn open_cell(&mut self) {
        if let Some(row) = self.tables.last_mut().and_then(|rows| rows.last_mut()) {
            row.push(String::new());
        }
    }

    fn close_table(&mut self) {
        let Some(rows) = self.tables.pop() else { return };
        let text = table(rows);
        match self.tables.last_mut().and_then(|rows| rows.last_mut()?.last_mut()) {
            Some(cell) => cell.push_str(&text.replace('\n', " ")),
            None if text.trim().is_empty() => {}
            None => self.done.push(text),
        }
    }

    /// Everything that was read.
    pub fn finish(mut self) -> String {
        // A file that breaks off still says what it held.
        while !self.paragraphs.is_empty() {
            self.close_paragraph();
        }
        while !self.tables.is_empty() {
            self.close_table();
        }
        self.done.join("\n\n")
    }

    /// Items of a list are lines of one block.
    fn push_list_item(&mut self, text: &str) {
        let item = format!("- {text}");
        match self.done.last_mut() {
            Some(list) if list.starts_with("- ") => {
                list.push('\n');
                list.push_str(&item);
            }
            _ => self.done.push(item),
        }
    }
}
