//! How sure the product is of an answer, and what it does about it.
//!
//! A score is the weighted mean of the signals that are present; weights renormalise over those, so that a
//! provider without log-probabilities is not punished for their absence.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{
    extractive::{self, NOT_IN_DOCUMENTS},
    retrieval::Source,
};

/// How cautious a tenant is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Strict,
    #[default]
    Standard,
    Lenient,
}

impl Mode {
    /// Below the first threshold an answer is withheld, below the second it is suggested for review.
    const fn thresholds(self) -> (f64, f64) {
        match self {
            Self::Strict => (0.50, 0.75),
            Self::Standard => (0.30, 0.60),
            Self::Lenient => (0.20, 0.40),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    High,
    Medium,
    Low,
    VeryLow,
}

impl Level {
    fn of(score: f64) -> Self {
        match score {
            s if s >= 0.8 => Self::High,
            s if s >= 0.6 => Self::Medium,
            s if s >= 0.4 => Self::Low,
            _ => Self::VeryLow,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Send,
    SendWithDisclaimer,
    SuggestReview,
    WithholdAndEscalate,
}

/// The verdict on an answer, as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// 0 to 1.
    pub score: f64,
    pub level: Level,
    pub action: Action,
    pub escalated: bool,
    /// Each signal that was present, 0 to 1.
    pub signals: BTreeMap<String, f64>,
}

/// What is judged.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    pub question: &'a str,
    pub answer: &'a str,
    pub sources: &'a [Source],
    pub mode: Mode,
    /// The tenant's own high-stakes words.
    pub high_stakes: &'a [String],
}

const RETRIEVAL_WEIGHT: f64 = 0.35;
const GROUNDING_WEIGHT: f64 = 0.35;
const HEDGING_WEIGHT: f64 = 0.10;
const QUALITY_WEIGHT: f64 = 0.20;

/// Score, level and action of an answer from the signals that need no model call.
pub fn assess(evidence: Evidence<'_>) -> Confidence {
    let declined = declines(evidence.answer);
    let mut weighted = vec![
        ("retrieval", retrieval_strength(evidence.sources), RETRIEVAL_WEIGHT),
        ("answer_quality", if declined { 0.0 } else { quality(evidence.answer) }, QUALITY_WEIGHT),
        ("hedging", hedging(evidence.answer), HEDGING_WEIGHT),
    ];
    if !declined {
        weighted.push(("grounding", grounding(evidence.answer, evidence.sources), GROUNDING_WEIGHT));
    }
    let total: f64 = weighted.iter().map(|(_, _, weight)| weight).sum();
    let mean = weighted.iter().map(|(_, value, weight)| value * weight).sum::<f64>() / total;
    // An answer that says it does not know is not made trustworthy by good retrieval.
    let score = if declined { mean.min(0.19) } else { mean };
    let score = (score * 1000.0).round() / 1000.0;
    let action = action(score, evidence.mode, is_high_stakes(evidence.question, evidence.high_stakes));
    Confidence {
        score,
        level: Level::of(score),
        action,
        escalated: action == Action::WithholdAndEscalate,
        signals: weighted
            .into_iter()
            .map(|(name, value, _)| (name.to_owned(), (value * 1000.0).round() / 1000.0))
            .collect(),
    }
}

fn action(score: f64, mode: Mode, high_stakes: bool) -> Action {
    let (immediate, review) = mode.thresholds();
    if score < immediate || (high_stakes && score < review) {
        Action::WithholdAndEscalate
    } else if score < review {
        Action::SuggestReview
    } else if high_stakes {
        Action::SendWithDisclaimer
    } else {
        Action::Send
    }
}

/// Whether an answer says that it holds none.
pub fn declines(answer: &str) -> bool {
    const PHRASES: [&str; 6] = [
        "could not find this in the documents",
        "not in the documents",
        "documents do not contain",
        "documents don't contain",
        "i do not know",
        "i don't know",
    ];
    let lower = answer.to_lowercase();
    answer.starts_with(NOT_IN_DOCUMENTS) || PHRASES.iter().any(|phrase| lower.contains(phrase))
}

/// Similarity of the best source, from 0 at .2 or less to 1 at .7 or more (cosine, all-MiniLM-L6-v2).
fn retrieval_strength(sources: &[Source]) -> f64 {
    let best = sources.iter().map(|source| f64::from(source.similarity)).fold(0.0, f64::max);
    ((best - 0.2) / 0.5).clamp(0.0, 1.0)
}

/// Mean over the answer's sentences of the share of content words that its best source holds, what stands beside it included.
fn grounding(answer: &str, sources: &[Source]) -> f64 {
    let answer = without_citations(answer);
    let sentences = answer.split_inclusive(['.', '!', '?', '\n']).map(extractive::terms);
    let sentences: Vec<Vec<String>> = sentences.filter(|terms| !terms.is_empty()).collect();
    if sentences.is_empty() {
        return 0.0;
    }
    let claimed: HashSet<&str> = sentences.iter().flatten().map(String::as_str).collect();
    let held = |source: &Source| -> HashSet<&str> {
        let read = [Some(&source.content), source.before.as_ref(), source.after.as_ref()].into_iter().flatten();
        read.flat_map(|text| extractive::terms(text)).filter_map(|term| claimed.get(term.as_str()).copied()).collect()
    };
    let sources: Vec<HashSet<&str>> = sources.iter().map(held).collect();
    let supported = sentences.iter().map(|terms| {
        let share = |source: &HashSet<&str>| {
            terms.iter().filter(|term| source.contains(term.as_str())).count() as f64 / terms.len() as f64
        };
        sources.iter().map(share).fold(0.0, f64::max)
    });
    supported.sum::<f64>() / sentences.len() as f64
}

/// The text without its `[1]` marks, whose numbers are no claims.
fn without_citations(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        rest = match after.split_once(']') {
            Some((mark, after)) if !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_digit()) => after,
            _ => {
                kept.push('[');
                after
            }
        };
    }
    kept.push_str(rest);
    kept
}

/// 1 without hedges, less with each; three casual hedges halve it.
fn hedging(answer: &str) -> f64 {
    const HEDGES: [&str; 10] = [
        "i think",
        "probably",
        "perhaps",
        "maybe",
        "might",
        "not sure",
        "i believe",
        "possibly",
        "it seems",
        "as far as i know",
    ];
    let lower = answer.to_lowercase();
    let hedges: usize = HEDGES.iter().map(|hedge| lower.matches(hedge).count()).sum();
    1.0 / (1.0 + hedges as f64 / 3.0)
}

/// Falls for answers too short to say something and for text without an end.
fn quality(answer: &str) -> f64 {
    let words = answer.split_whitespace().count();
    let length = (words as f64 / 6.0).min(1.0);
    let ended = answer.trim_end().ends_with(['.', '!', '?', ']', ')', ':', '”', '"', '。']);
    if ended { length } else { length * 0.8 }
}

/// Topics where a wrong answer does harm. A tenant's own words add to these; they never replace them.
fn is_high_stakes(question: &str, own: &[String]) -> bool {
    const TOPICS: [&str; 16] = [
        "medical",
        "medicine",
        "doctor",
        "diagnos",
        "health",
        "allerg",
        "legal",
        "lawyer",
        "lawsuit",
        "financial advice",
        "invest",
        "emergency",
        "suicid",
        "poison",
        "injur",
        "tax advice",
    ];
    let lower = question.to_lowercase();
    TOPICS.iter().any(|topic| lower.contains(topic))
        || own.iter().any(|word| !word.trim().is_empty() && lower.contains(&word.trim().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::DocumentId;

    fn source(content: &str, similarity: f32) -> Source {
        Source {
            document_id: DocumentId::generate(),
            document_name: "returns.md".into(),
            chunk_id: "c".into(),
            content: content.into(),
            heading: None,
            page: None,
            similarity,
            score: 0.03,
            before: None,
            after: None,
        }
    }

    fn judge(question: &str, answer: &str, sources: &[Source], mode: Mode) -> Confidence {
        assess(Evidence { question, answer, sources, mode, high_stakes: &[] })
    }

    #[test]
    fn a_quoted_answer_is_sent() {
        let sources = [source("You may return any item within 30 days of delivery for a full refund.", 0.72)];
        let verdict = judge(
            "How long may I return?",
            "You may return any item within 30 days of delivery. [1]",
            &sources,
            Mode::Standard,
        );
        assert_eq!((verdict.level, verdict.action), (Level::High, Action::Send), "{verdict:?}");
        assert!(!verdict.escalated);
    }

    #[test]
    fn citations_are_no_claims() {
        assert_eq!(without_citations("60 days [1], [a] or [12]."), "60 days , [a] or .");
    }

    #[test]
    fn an_invented_answer_scores_below_a_quoted_one() {
        let sources = [source("You may return any item within 30 days of delivery.", 0.5)];
        let quoted = judge("returns?", "You may return any item within 30 days.", &sources, Mode::Standard);
        let invented =
            judge("returns?", "Our rocket launches every Tuesday from Cape Canaveral.", &sources, Mode::Standard);
        assert!(invented.score + 0.2 < quoted.score, "{invented:?} {quoted:?}");
    }

    #[test]
    fn not_knowing_escalates_in_every_mode() {
        for mode in [Mode::Strict, Mode::Standard, Mode::Lenient] {
            let verdict = judge("Who is the CEO?", NOT_IN_DOCUMENTS, &[source("Unrelated.", 0.9)], mode);
            assert_eq!((verdict.level, verdict.action), (Level::VeryLow, Action::WithholdAndEscalate));
        }
    }

    #[test]
    fn the_modes_thresholds_decide() {
        assert_eq!(action(0.45, Mode::Strict, false), Action::WithholdAndEscalate);
        assert_eq!(action(0.45, Mode::Standard, false), Action::SuggestReview);
        assert_eq!(action(0.45, Mode::Lenient, false), Action::Send);
    }

    #[test]
    fn high_stakes_raises_the_bar_and_tenant_words_add_to_it() {
        assert_eq!(action(0.45, Mode::Standard, true), Action::WithholdAndEscalate);
        assert_eq!(action(0.9, Mode::Standard, true), Action::SendWithDisclaimer);
        let own = ["Avalanche".to_owned()];
        assert!(is_high_stakes("Is there avalanche risk?", &own));
        assert!(is_high_stakes("Should I see a doctor?", &own));
        assert!(!is_high_stakes("Where is my parcel?", &own));
    }
}
