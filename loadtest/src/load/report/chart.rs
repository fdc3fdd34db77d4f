//! Line charts as inline SVG: no script, no font and no file from elsewhere.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
/// Half of the last label under the axis stands here.
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;
/// Colours that the page's style sheet knows.
const COLOURS: usize = 10;

/// One line of a chart; a missing value breaks it.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

/// A figure with a caption, the lines and a legend with each line's highest value. Empty when there is nothing to draw.
pub(super) fn chart(title: &str, unit: &str, series: &[Series]) -> String {
    let known = || series.iter().flat_map(|line| line.points.iter()).filter_map(|&(x, y)| Some((x, y?)));
    if known().count() < 2 {
        return String::new();
    }
    let (first, last) = known().fold((f64::MAX, f64::MIN), |(low, high), (x, _)| (low.min(x), high.max(x)));
    let highest = known().map(|(_, y)| y).fold(0.0, f64::max);
    let step = nice(highest / 4.0);
    let top = (highest / step).ceil().max(1.0) * step;
    let x = |at: f64| LEFT + (at - first) / (last - first).max(1e-9) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = format!("<figure><figcaption>{} <span>{}</span></figcaption>", escape(title), escape(unit));
    let _ = write!(svg, r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, escape(title));
    for tick in 0..=(top / step).round() as u32 {
        let value = f64::from(tick) * step;
        let (at, right) = (y(value), WIDTH - RIGHT);
        let _ = write!(svg, r#"<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1}" y2="{at:.1}"/>"#);
        let _ = write!(svg, r#"<text x="{}" y="{:.1}" class="y">{}</text>"#, LEFT - 6.0, at + 4.0, short(value));
    }
    let pace = nice((last - first) / 7.0).max(1.0);
    let mut tick = (first / pace).ceil() * pace;
    while tick <= last {
        let _ = write!(svg, r#"<text x="{:.1}" y="{}" class="x">{} s</text>"#, x(tick), HEIGHT - 8.0, short(tick));
        tick += pace;
    }
    for (number, line) in series.iter().enumerate() {
        for piece in line.points.split(|(_, value)| value.is_none()).filter(|piece| !piece.is_empty()) {
            let points: Vec<String> =
                piece.iter().filter_map(|&(at, value)| Some(format!("{:.1},{:.1}", x(at), y(value?)))).collect();
            let colour = number % COLOURS;
            let _ = match points.as_slice() {
                [point] => {
                    let (cx, cy) = point.split_once(',').expect("made of two");
                    write!(svg, r#"<circle class="c{colour} dot" cx="{cx}" cy="{cy}" r="2"/>"#)
                }
                points => write!(svg, r#"<polyline class="c{colour}" points="{}"/>"#, points.join(" ")),
            };
        }
    }
    svg.push_str("</svg><ul class=\"legend\">");
    for (number, line) in series.iter().enumerate() {
        let most = line.points.iter().filter_map(|(_, value)| *value).fold(0.0, f64::max);
        let _ = write!(
            svg,
            r#"<li><i class="c{}"></i>{} <b>{}</b></li>"#,
            number % COLOURS,
            escape(&line.name),
            short(most)
        );
    }
    svg.push_str("</ul></figure>");
    svg
}

/// The next of 1, 2, 5, 10 … that is not smaller.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * magnitude).find(|&step| step >= value * 0.999).unwrap_or(value)
}

/// Three digits are enough.
pub(super) fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        100_000.0.. => format!("{:.0}k", value / 1e3),
        100.0.. => format!("{value:.0}"),
        10.0.. => trimmed(&format!("{value:.1}")),
        0.1.. => trimmed(&format!("{value:.2}")),
        _ => trimmed(&format!("{value:.3}")),
    }
}

fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_numbers_short() {
        assert_eq!([0.0, 0.7, 3.1, 20.0, 51.0].map(nice), [1.0, 1.0, 5.0, 20.0, 100.0]);
        assert_eq!(
            [0.0, 0.005, 0.01, 0.25, 12.34, 1234.5, 150_000.0].map(short),
            ["0", "0.005", "0.01", "0.25", "12.3", "1234", "150k"]
        );
    }

    #[test]
    fn a_gap_breaks_the_line_and_names_are_escaped() {
        let points = vec![(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(1.0))];
        let svg = chart("a < b", "ms", &[Series { name: "<x>".into(), points }]);
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<circle").count()), (1, 1));
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;x&gt;") && !svg.contains("<x>"));
        assert_eq!(chart("empty", "ms", &[]), "");
    }
}
