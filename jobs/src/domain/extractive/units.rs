//! A source to the pieces that can be quoted on their own.

mod sentences;
mod unit;

use std::{collections::HashSet, sync::Arc};

use unit::Says;
pub use unit::Unit;

use super::terms::terms;
use crate::domain::retrieval::Source;

/// Most characters of a list quoted together with the line that introduces it.
const MAX_LIST_CHARS: usize = 400;

/// The units of a source, in reading order.
pub fn of(index: usize, source: &Source) -> Vec<Unit> {
    let above = format!("{} {}", source.document_name, source.heading.as_deref().unwrap_or_default());
    let heading = Arc::new(terms(&above).into_iter().collect());
    let mut reader = Reader { source: index, heading, ..Reader::default() };
    for block in source.content.split("\n\n") {
        reader.block(block);
    }
    let mut units = reader.units;
    let prose: Vec<Option<Arc<Says>>> = units.iter().map(|unit| unit.prose.then(|| unit.says())).collect();
    for (at, unit) in units.iter_mut().enumerate().filter(|(_, unit)| unit.prose) {
        let beside = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
        unit.read_beside(beside.filter_map(|at| prose.get(at)?.clone()));
    }
    units
}

#[derive(Default)]
struct Reader {
    source: usize,
    heading: Arc<HashSet<String>>,
    /// The line ending in a colon, or the question, that the next block belongs to.
    lead: Option<String>,
    units: Vec<Unit>,
}

impl Reader {
    fn block(&mut self, block: &str) {
        let lines: Vec<&str> = block.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let record: Option<Vec<(&str, &str)>> = lines.iter().map(|line| field(line)).collect();
        match record {
            Some(fields) if fields.len() > 1 => self.record(&fields),
            _ => self.lines(&lines),
        }
    }

    /// Runs of lines of one kind: headings, table rows, list items, paragraphs.
    fn lines(&mut self, lines: &[&str]) {
        for run in lines.chunk_by(|a, b| kind(a) == kind(b)) {
            match kind(run[0]) {
                Kind::Heading => Arc::make_mut(&mut self.heading).extend(run.iter().flat_map(|line| terms(line))),
                Kind::Row => self.table(run),
                Kind::Item => self.list(run),
                Kind::Text => self.paragraph(&run.join(" ")),
            }
        }
    }

    fn paragraph(&mut self, text: &str) {
        for sentence in sentences::split(&plain(text)) {
            if sentence.ends_with([':', '?']) {
                self.lead = Some(sentence);
                continue;
            }
            self.push(sentence);
            if let Some(unit) = self.units.last_mut() {
                unit.prose = true;
            }
        }
    }

    fn list(&mut self, lines: &[&str]) {
        let items: Vec<String> = lines.iter().map(|line| plain(item(line).unwrap_or(line))).collect();
        let chars: usize = items.iter().map(|item| item.chars().count()).sum();
        match self.lead.take() {
            Some(lead) if lead.ends_with(':') && chars <= MAX_LIST_CHARS => {
                let items: Vec<&str> = items.iter().map(|item| item.trim_end_matches(['.', ';', ','])).collect();
                self.push(format!("{lead} {}.", items.join("; ")));
            }
            lead => {
                for item in items {
                    self.lead.clone_from(&lead);
                    self.push(item);
                }
                self.lead = None;
            }
        }
    }

    /// Each row reads as `column: value; column: value`.
    fn table(&mut self, lines: &[&str]) {
        let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line)).collect();
        let is_rule =
            |row: &Vec<String>| row.iter().all(|cell| cell.chars().all(|mark| matches!(mark, '-' | ':' | ' ')));
        let header = (rows.len() > 1 && is_rule(&rows[1])).then(|| rows[0].clone());
        let lead = self.lead.take();
        for row in rows.iter().skip(if header.is_some() { 2 } else { 0 }).filter(|row| !is_rule(row)) {
            let named =
                row.iter().enumerate().filter(|(_, value)| !value.is_empty()).map(|(column, value)| {
                    match header.as_ref().and_then(|header| header.get(column)).filter(|name| !name.is_empty()) {
                        Some(name) => format!("{name}: {value}"),
                        None => value.clone(),
                    }
                });
            self.lead.clone_from(&lead);
            self.push(named.collect::<Vec<_>>().join("; "));
        }
        self.lead = None;
    }

    /// A record of named fields; of a question and its answer only the answer is quoted.
    fn record(&mut self, fields: &[(&str, &str)]) {
        let named = |names: &[&str]| fields.iter().find(|(name, _)| names.contains(&name.to_lowercase().as_str()));
        let question = named(&["question", "q", "frage", "pregunta"]);
        let answer = named(&["answer", "a", "antwort", "réponse", "respuesta"]);
        if let (Some((_, question)), Some((_, answer))) = (question, answer) {
            self.lead = Some((*question).to_owned());
            self.push(plain(answer));
            return;
        }
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
        self.push(fields.join("; "));
    }

    fn push(&mut self, text: String) {
        let lead = self.lead.take().unwrap_or_default();
        let says = Says::new(&text, &lead);
        if !says.is_empty() {
            self.units.push(Unit::new(self.source, self.units.len(), text, says, Arc::clone(&self.heading)));
        }
    }
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Heading,
    Row,
    Item,
    Text,
}

fn kind(line: &str) -> Kind {
    match line {
        _ if line.starts_with('#') && line.trim_start_matches('#').starts_with(' ') => Kind::Heading,
        _ if line.starts_with('|') => Kind::Row,
        _ if item(line).is_some() => Kind::Item,
        _ => Kind::Text,
    }
}

/// The text of a list item, bulleted or numbered.
fn item(line: &str) -> Option<&str> {
    let bullet = ["- ", "* ", "+ ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet));
    bullet.or_else(|| {
        let rest = line.trim_start_matches(|character: char| character.is_ascii_digit());
        let numbered = rest.len() < line.len() && line.len() - rest.len() <= 2;
        numbered.then(|| rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))).flatten()
    })
}

/// `name: value` with a short name that is not itself a sentence.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(": ")?;
    let short = name.chars().count() <= 40 && !name.contains(['.', '!', '?', '|']);
    (short && item(line).is_none() && kind(line) == Kind::Text).then_some((name, value))
}

fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|').split('|').map(|cell| plain(cell.trim())).collect()
}

/// Text without Markdown's inline marks; a link keeps its words.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let link = rest[open..].find("](").map(|middle| open + middle);
        let end = link.and_then(|middle| rest[middle..].find(')').map(|close| middle + close));
        let (Some(middle), Some(end)) = (link, end) else { break };
        plain.push_str(rest[..open].trim_end_matches('!'));
        plain.push_str(&rest[open + 1..middle]);
        rest = &rest[end + 1..];
    }
    plain.push_str(rest);
    let plain = plain.replace("**", "").replace("__", "").replace(['`', '\\'], "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
