//! Traces as trees.

use std::collections::{BTreeMap, BTreeSet};

use super::Span;

/// Indents each span below its parent, siblings in the order they began, one line each as `line` says. A span whose parent did
/// not come stands at the left.
pub fn draw(spans: &[Span], line: impl Fn(&Span) -> String) -> String {
    let known: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut below: BTreeMap<Option<&str>, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        below.entry(span.parent.as_deref().filter(|parent| known.contains(parent))).or_default().push(span);
    }
    below.values_mut().for_each(|siblings| siblings.sort_by_key(|span| (span.start, span.id.as_str())));
    let mut text = String::new();
    let mut open: Vec<(usize, &Span)> = Vec::new();
    let push = |open: &mut Vec<_>, depth, parent| {
        open.extend(below.get(&parent).into_iter().flatten().rev().map(|span| (depth, *span)));
    };
    push(&mut open, 0, None);
    while let Some((depth, span)) = open.pop() {
        text.push_str(&"  ".repeat(depth));
        text.push_str(&line(span));
        text.push('\n');
        push(&mut open, depth + 1, Some(span.id.as_str()));
    }
    text
}

/// A span in a line: what, where, how long, and what it tells.
pub fn tell(span: &Span) -> String {
    let failed = if span.failed { " FAILED" } else { "" };
    let attributes: String = span.attributes.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let ms = span.duration.as_secs_f64() * 1000.0;
    format!("{} [{} {}] {ms:.1} ms{failed}{attributes}", span.name, span.service, span.kind.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn span(id: &str, parent: Option<&str>, start: u64) -> Span {
        Span {
            trace: "t".into(),
            id: id.into(),
            parent: parent.map(str::to_owned),
            name: id.into(),
            kind: "INTERNAL".into(),
            service: "worker".into(),
            start,
            duration: Duration::from_millis(2),
            failed: id == "c",
            attributes: BTreeMap::from([("n".to_owned(), "1".to_owned())]),
            events: Vec::new(),
        }
    }

    #[test]
    fn children_stand_below_their_parent_in_their_order() {
        let spans = [span("c", Some("a"), 9), span("a", None, 1), span("b", Some("a"), 3), span("d", Some("b"), 4)];
        assert_eq!(draw(&spans, |span| span.name.clone()), "a\n  b\n    d\n  c\n");
        assert_eq!(draw(&spans[..1], tell), "c [worker internal] 2.0 ms FAILED n=1\n");
    }
}
