//! One quotable piece and what it says.

use std::{collections::HashSet, sync::Arc};

use crate::domain::extractive::terms;

/// A sentence, list item, table row or record, ready to be quoted.
#[derive(Debug)]
pub struct Unit {
    /// Index into the sources, from 0.
    pub source: usize,
    position: usize,
    pub text: String,
    says: Arc<Says>,
    /// Terms of the headings above it and of the document's name.
    heading: Arc<HashSet<String>>,
    /// Whether it is a sentence of running text, which its neighbours help to understand.
    pub prose: bool,
    /// The sentences before and after it.
    nearby: Vec<Arc<Says>>,
    ranges: Vec<(f64, f64)>,
}

/// The terms of a unit.
#[derive(Debug)]
pub struct Says {
    terms: HashSet<String>,
    /// Those of the question or the introduction it belongs to.
    lead: HashSet<String>,
}

impl Says {
    pub fn new(text: &str, lead: &str) -> Self {
        Self { terms: terms(text).into_iter().collect(), lead: terms(lead).into_iter().collect() }
    }

    /// Whether the unit itself says nothing.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

impl Unit {
    pub fn new(source: usize, position: usize, text: String, says: Says, heading: Arc<HashSet<String>>) -> Self {
        let (says, ranges) = (Arc::new(says), ranges(&text));
        Self { source, position, text, says, heading, prose: false, nearby: Vec::new(), ranges }
    }

    pub fn says(&self) -> Arc<Says> {
        Arc::clone(&self.says)
    }

    /// Takes in the sentences before and after it.
    pub fn read_beside(&mut self, neighbours: impl Iterator<Item = Arc<Says>>) {
        self.nearby = neighbours.collect();
    }

    /// Reading order.
    pub fn order(&self) -> (usize, usize) {
        (self.source, self.position)
    }

    /// How well the unit holds a term: 1 itself, less for a word with the same beginning or a range around a
    /// number, for its question, its heading and its neighbours, 0 when none of them does.
    pub fn matches(&self, term: &str) -> f32 {
        let Says { terms, lead } = &*self.says;
        let holds = |terms: &HashSet<String>| terms.contains(term) || terms.iter().any(|own| is_related(own, term));
        match () {
            () if terms.contains(term) => 1.0,
            () if lead.contains(term) => 0.9,
            () if self.ranges.iter().any(|range| spans(*range, term)) => 0.9,
            () if holds(terms) => 0.8,
            () if holds(lead) || holds(&self.heading) => 0.6,
            () if self.nearby.iter().any(|near| near.terms.contains(term) || near.lead.contains(term)) => 0.35,
            () => 0.0,
        }
    }

    pub fn has_number(&self) -> bool {
        self.text.contains(|character: char| character.is_ascii_digit())
    }

    /// Whether one of the two holds (nearly) all words of the other, as overlapping passages do.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let (own, others) = (&self.says.terms, &other.says.terms);
        own.intersection(others).count() * 10 >= own.len().min(others.len()) * 9
    }
}

fn spans((low, high): (f64, f64), term: &str) -> bool {
    term.parse::<f64>().is_ok_and(|number| (low..=high).contains(&number))
}

/// Ranges such as `102–108` in a text, as size charts and price tiers hold them.
fn ranges(text: &str) -> Vec<(f64, f64)> {
    let words = text.split(|character: char| character.is_whitespace() || matches!(character, ';' | ',' | '(' | ')'));
    let range = |word: &str| {
        let (low, high) = word.split_once(['–', '-'])?;
        Some((low.parse().ok()?, high.parse().ok()?)).filter(|(low, high): &(f64, f64)| low < high)
    };
    words.filter_map(range).collect()
}

/// `subscrib` and `subscription`: a common beginning of at least five letters and most of the shorter word.
fn is_related(a: &str, b: &str) -> bool {
    let common = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    let (short, long) = {
        let (a, b) = (a.chars().count(), b.chars().count());
        (a.min(b), a.max(b))
    };
    common >= 5 && common + 1 >= short && long <= short + 5
}
