//! The text that Prometheus scrapes, summed over processes.

use std::collections::{BTreeMap, BTreeSet};

/// Values by series. What several processes say of one series is added up: counters and gauges of this product are per process,
/// or said by the relay's leader alone and zero elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposition {
    series: BTreeMap<String, Vec<(Labels, f64)>>,
}

type Labels = Vec<(String, String)>;

impl Exposition {
    /// Reads one process' text. Buckets and quantiles are left out, and lines that cannot be read.
    pub(super) fn add(&mut self, text: &str) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = parse(line)
                && !labels.iter().any(|(label, _)| label == "le" || label == "quantile")
            {
                self.series.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
    }

    pub(super) fn total(&self, name: &str) -> f64 {
        self.series.get(name).into_iter().flatten().map(|(_, value)| value).sum()
    }

    pub(super) fn labelled(&self, name: &str, label: &str, value: &str) -> f64 {
        let series = self.series.get(name).into_iter().flatten();
        series.filter(|(labels, _)| labels.iter().any(|(l, v)| l == label && v == value)).map(|(_, value)| value).sum()
    }

    pub(super) fn values_of(&self, name: &str, label: &str) -> BTreeSet<String> {
        let labels = self.series.get(name).into_iter().flatten().flat_map(|(labels, _)| labels);
        labels.filter(|(l, _)| l == label).map(|(_, value)| value.clone()).collect()
    }
}

/// `name{label="value",…} number`; the labels of this product hold no escapes.
fn parse(line: &str) -> Option<(&str, Labels, f64)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else { return Some((series, Vec::new(), value)) };
    let labels = labels.strip_suffix('}')?.split("\",").filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some((name, labels.collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_added_up() {
        let mut exposition = Exposition::default();
        let text = "# TYPE jobs counter\njobs{kind=\"a\",outcome=\"done\"} 3\njobs{kind=\"b\",outcome=\"done\"} 1\n\
            wait_bucket{kind=\"a\",le=\"0.1\"} 7\nwait_sum{kind=\"a\"} 0.25\nup 1\nnonsense\n";
        exposition.add(text);
        exposition.add(text);

        assert_eq!(exposition.total("jobs"), 8.0);
        assert_eq!(exposition.labelled("jobs", "kind", "a"), 6.0);
        assert_eq!(exposition.labelled("wait_sum", "kind", "a"), 0.5);
        assert_eq!(exposition.total("wait_bucket"), 0.0);
        assert_eq!(exposition.values_of("jobs", "kind").into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
