//! Answers by quoting: the model that needs no model.
//!
//! The sources are cut into quotable [`Unit`]s (sentences, list items, table rows, records). Each is scored by
//! how much of the question it covers, rare words counting more, and by its source's similarity; the best few
//! become the answer, each with its citation. Nothing is rephrased, so nothing is invented.

mod stop_words;
mod terms;
mod units;

pub use stop_words::contains as is_stop_word;
pub use terms::terms;
use units::Unit;

use super::retrieval::Source;

/// The honest answer when the sources do not hold one.
pub const NOT_IN_DOCUMENTS: &str = "I could not find this in the documents.";

/// Most units quoted.
const MAX_UNITS: usize = 3;
/// Longest answer, in characters; the first unit is quoted whole whatever its length.
const MAX_CHARS: usize = 700;
/// A unit with this share of the question's weight answers it, whatever the similarity.
const ENOUGH_COVERAGE: f32 = 0.62;
/// With a similar source, this share is enough.
const SIMILAR_COVERAGE: f32 = 0.34;
/// Cosine similarity at which a source counts as similar (all-MiniLM-L6-v2).
const SIMILAR: f32 = 0.35;
/// Added to a unit's score when the question asks for a number and it holds one.
const NUMBER: f32 = 0.15;
/// Added to the units of the first source, half of it to those of the second, a third to those of the third.
const EARLY: f32 = 0.1;
/// A further unit must score this share of the best one's score.
const COMPANION_SHARE: f32 = 0.6;
/// A further unit that only repeats the best one's words must come this close to it.
const RIVAL_SHARE: f32 = 0.8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractiveAnswer {
    /// Never blank; [`NOT_IN_DOCUMENTS`] when nothing was found.
    pub text: String,
    pub found: bool,
    /// Numbers of the sources quoted, from 1, in the order of the text.
    pub cited: Vec<usize>,
}

/// The parts of the sources that answer the question, at most three, each followed by its citation such as `[1]`.
///
/// Pure and deterministic: the same question and sources give the same answer.
pub fn answer(question: &str, sources: &[Source]) -> ExtractiveAnswer {
    let mut asked = terms(question);
    asked.sort_unstable();
    asked.dedup();
    let units: Vec<Unit> = sources.iter().enumerate().flat_map(|(index, source)| units::of(index, source)).collect();
    let matches = |unit: &Unit| asked.iter().map(|term| unit.matches(term)).collect();
    let matches: Vec<Vec<f32>> = units.iter().map(matches).collect();
    let question = Question::new(asked.len(), wants_number(question), &matches);
    let similarity = |unit: &Unit| sources[unit.source].similarity;
    let scored = units.iter().zip(matches).map(|(unit, matches)| question.score(unit, matches, similarity(unit)));
    let mut scored: Vec<Scored> = scored.collect();
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.unit.order().cmp(&b.unit.order())));

    let chosen = question.choose(&scored);
    let coverage = question.coverage(&chosen);
    let similarity = sources.iter().map(|source| source.similarity).fold(0.0, f32::max);
    let found = coverage >= ENOUGH_COVERAGE || (similarity >= SIMILAR && coverage >= SIMILAR_COVERAGE);
    match found {
        true => quote(chosen.into_iter().map(|scored| scored.unit).collect()),
        false => ExtractiveAnswer { text: NOT_IN_DOCUMENTS.to_owned(), found: false, cited: Vec::new() },
    }
}

/// The weights of the question's terms: the rarer among the units, the heavier.
struct Question {
    weights: Vec<f32>,
    total: f32,
    wants_number: bool,
}

struct Scored<'a> {
    unit: &'a Unit,
    /// How well it holds each of the question's terms.
    matches: Vec<f32>,
    score: f32,
}

impl Question {
    fn new(terms: usize, wants_number: bool, units: &[Vec<f32>]) -> Self {
        let weight = |term: usize| {
            let holding = units.iter().filter(|matches| matches[term] > 0.0).count();
            (1.0 + units.len() as f32 / (1.0 + holding as f32)).ln()
        };
        let weights: Vec<f32> = (0..terms).map(weight).collect();
        let total = weights.iter().sum::<f32>().max(f32::EPSILON);
        Self { weights, total, wants_number }
    }

    fn score<'a>(&self, unit: &'a Unit, matches: Vec<f32>, similarity: f32) -> Scored<'a> {
        let matched: f32 = self.weights.iter().zip(&matches).map(|(weight, matched)| weight * matched).sum();
        let coverage = matched / self.total;
        let number = if self.wants_number && unit.has_number() { NUMBER } else { 0.0 };
        let early = EARLY / (1.0 + unit.source as f32);
        let score = if matched > 0.0 { coverage + 0.4 * similarity.max(0.0) + number + early } else { 0.0 };
        Scored { unit, matches, score }
    }

    /// Share of the question's weight that the units cover together, 0 to 1.
    fn coverage(&self, chosen: &[&Scored]) -> f32 {
        let best = |term: usize| chosen.iter().map(|scored| scored.matches[term]).fold(0.0, f32::max);
        self.weights.iter().enumerate().map(|(term, weight)| weight * best(term)).sum::<f32>() / self.total
    }

    /// The best unit, then those that score nearly as well: those that add a word of the question not yet covered,
    /// and those of the same source that might be meant as well.
    fn choose<'a>(&self, scored: &'a [Scored<'a>]) -> Vec<&'a Scored<'a>> {
        let Some(best) = scored.first() else { return Vec::new() };
        let mut chosen = vec![best];
        let mut chars = best.unit.text.chars().count();
        for candidate in &scored[1..] {
            let near = candidate.score >= best.score * COMPANION_SHARE;
            if chosen.len() == MAX_UNITS || !near {
                break;
            }
            let adds = (0..self.weights.len())
                .any(|term| candidate.matches[term] > 0.5 && chosen.iter().all(|taken| taken.matches[term] < 0.5));
            let rivals = candidate.unit.source == best.unit.source && candidate.score >= best.score * RIVAL_SHARE;
            let repeats = chosen.iter().any(|taken| taken.unit.says_the_same(candidate.unit));
            let length = candidate.unit.text.chars().count();
            if (adds || rivals) && !repeats && chars + length <= MAX_CHARS {
                chars += length;
                chosen.push(candidate);
            }
        }
        chosen
    }
}

/// Joins the units, those of one source in the order they stand in it.
fn quote(mut units: Vec<&Unit>) -> ExtractiveAnswer {
    let first_source = units[0].source;
    units.sort_by_key(|unit| (unit.source != first_source, unit.order()));
    let mut cited = Vec::new();
    let quoted: Vec<String> = units
        .into_iter()
        .map(|unit| {
            let number = unit.source + 1;
            if !cited.contains(&number) {
                cited.push(number);
            }
            with_citation(&unit.text, number)
        })
        .collect();
    ExtractiveAnswer { text: quoted.join(" "), found: true, cited }
}

/// `Text.` becomes `Text [1].`, so that a sentence splitter keeps the citation with what it supports.
fn with_citation(text: &str, number: usize) -> String {
    match text.char_indices().next_back() {
        Some((at, mark @ ('.' | '!' | '?' | '。'))) => format!("{} [{number}]{mark}", &text[..at]),
        _ => format!("{} [{number}].", text.trim_end_matches([':', ';', ','])),
    }
}

/// Whether the question asks for an amount, a time or a date.
fn wants_number(question: &str) -> bool {
    const SIGNS: [&str; 22] = [
        "how much",
        "how many",
        "how long",
        "how often",
        "how soon",
        "how fast",
        "when",
        "what time",
        "cost",
        "price",
        "fee",
        "amount",
        "maximum",
        "minimum",
        "wie viel",
        "wieviel",
        "wie lange",
        "wann",
        "combien",
        "quand",
        "cuánto",
        "cuándo",
    ];
    let lower = question.to_lowercase();
    SIGNS.iter().any(|sign| lower.contains(sign))
}

#[cfg(test)]
mod tests;
