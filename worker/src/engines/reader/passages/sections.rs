//! Markdown to the texts between its headings.

/// Text under one heading.
#[derive(Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// Headings above the text, outermost first, joined by ` › `.
    pub heading: Option<String>,
    pub text: &'a str,
    /// Where the text begins in the document, in bytes.
    pub offset: usize,
}

impl<'a> Section<'a> {
    pub fn whole(text: &'a str) -> Self {
        Self { heading: None, text, offset: 0 }
    }
}

/// Sections in order. A heading with nothing under it, not even a deeper heading, gives its own words as text.
pub fn of(markdown: &str) -> Vec<Section<'_>> {
    let headings = headings(markdown);
    let mut sections = Vec::new();
    let mut path: Vec<&Heading> = Vec::new();
    let first = headings.first().map_or(markdown.len(), |heading| heading.line_start);
    push(&mut sections, None, markdown, 0, first);
    for (index, heading) in headings.iter().enumerate() {
        while path.last().is_some_and(|outer| outer.level >= heading.level) {
            path.pop();
        }
        path.push(heading);
        let next = headings.get(index + 1);
        let end = next.map_or(markdown.len(), |next| next.line_start);
        let joined = path.iter().map(|heading| heading.title).collect::<Vec<_>>().join(" › ");
        let bare =
            markdown[heading.body_start..end].trim().is_empty() && next.is_none_or(|next| next.level <= heading.level);
        let start = if bare { heading.line_start } else { heading.body_start };
        push(&mut sections, Some(joined), markdown, start, end);
    }
    sections
}

fn push<'a>(sections: &mut Vec<Section<'a>>, heading: Option<String>, markdown: &'a str, offset: usize, end: usize) {
    let text = &markdown[offset..end];
    if !text.trim().is_empty() {
        sections.push(Section { heading: heading.filter(|heading| !heading.is_empty()), text, offset });
    }
}

struct Heading<'a> {
    level: usize,
    title: &'a str,
    line_start: usize,
    body_start: usize,
}

/// `# Title` lines outside fenced code, and lines underlined by `===` or `---`.
fn headings(markdown: &str) -> Vec<Heading<'_>> {
    let mut headings = Vec::new();
    let mut fenced = false;
    let mut start = 0;
    let mut previous = (0, "");
    for line in markdown.split_inclusive('\n') {
        let text = line.trim();
        let body_start = start + line.len();
        if text.starts_with("```") || text.starts_with("~~~") {
            fenced = !fenced;
        } else if !fenced && let Some((level, title)) = atx(text) {
            headings.push(Heading { level, title, line_start: start, body_start });
        } else if !fenced && let Some(level) = underline(text).filter(|_| is_title(previous.1)) {
            headings.push(Heading { level, title: previous.1, line_start: previous.0, body_start });
        }
        previous = (start, text);
        start = body_start;
    }
    headings
}

fn atx(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    ((1..=6).contains(&level) && title.starts_with([' ', '\t']))
        .then(|| (level, title.trim().trim_end_matches('#').trim_end()))
}

fn underline(line: &str) -> Option<usize> {
    let of = |mark: char| line.len() >= 3 && line.chars().all(|character| character == mark);
    if of('=') { Some(1) } else { of('-').then_some(2) }
}

/// A line that an underline turns into a heading, rather than a list item, a table row or another heading.
fn is_title(line: &str) -> bool {
    !line.is_empty()
        && line.chars().count() <= 120
        && !line.starts_with(['#', '-', '*', '|', '>', '+'])
        && !line.ends_with('.')
}
