//! How good rankings are: hit@1, recall@5, recall@10, MRR@10 and nDCG@10, with 95 % confidence intervals.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// Results looked at.
pub const DEPTH: usize = 10;
/// Resamples of the questions that an interval is made from (percentile bootstrap).
const RESAMPLES: usize = 1000;
const MEASURES: usize = 5;

pub const HEAD: &str = "| configuration | hit@1 | recall@5 | recall@10 | MRR@10 | nDCG@10 |\n|---|---|---|---|---|---|";

/// By question, each measure of [`HEAD`].
pub struct Quality(Vec<[f64; MEASURES]>);

impl Quality {
    /// From whether each result of each question is relevant, best first, and how many passages are.
    pub fn of(rankings: impl Iterator<Item = Vec<bool>>, relevant: impl Iterator<Item = usize>) -> Self {
        Self(rankings.zip(relevant).map(|(ranking, relevant)| measure(&ranking, relevant)).collect())
    }

    /// A row of the table: the mean of each measure and its interval.
    pub fn row(&self, name: &str) -> String {
        let cells: Vec<String> = (0..MEASURES)
            .map(|measure| {
                let values: Vec<f64> = self.0.iter().map(|question| question[measure]).collect();
                let (low, high) = interval(&values);
                format!("{:.3} ({low:.3}–{high:.3})", mean(&values))
            })
            .collect();
        format!("| {name} | {} |", cells.join(" | "))
    }
}

fn measure(ranking: &[bool], relevant: usize) -> [f64; MEASURES] {
    let found_in = |depth: usize| ranking.iter().take(depth).filter(|hit| **hit).count() as f64 / relevant as f64;
    let first = ranking.iter().take(DEPTH).position(|hit| *hit);
    let gain = |position: usize| 1.0 / (position as f64 + 2.0).log2();
    let found: f64 = ranking.iter().take(DEPTH).enumerate().filter(|(_, hit)| **hit).map(|(at, _)| gain(at)).sum();
    let ideal: f64 = (0..relevant.min(DEPTH)).map(gain).sum();
    [
        f64::from(u8::from(first == Some(0))),
        found_in(5),
        found_in(DEPTH),
        first.map_or(0.0, |position| 1.0 / (position as f64 + 1.0)),
        found / ideal,
    ]
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The same questions give the same interval.
fn interval(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mut random = StdRng::seed_from_u64(1);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            (0..values.len()).map(|_| values[random.random_range(0..values.len())]).sum::<f64>() / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    (means[RESAMPLES * 25 / 1000], means[RESAMPLES * 975 / 1000])
}
