//! Durations as they are written on a command line.

use std::time::Duration;

/// Parses `250ms`, `30s`, `5m` or `1h`; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds_per_unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        unit => return Err(format!("unknown unit {unit:?}, use ms, s, m or h")),
    };
    let amount: f64 = digits.parse().map_err(|_| format!("{text:?} is not a duration such as 30s"))?;
    Duration::try_from_secs_f64(amount * seconds_per_unit).map_err(|error| error.to_string())
}

/// Parses a bare number of milliseconds, for options whose name ends in `-ms`.
pub(crate) fn parse_millis(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_millis).map_err(|_| format!("{text:?} is not a number of milliseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("7"), Ok(Duration::from_secs(7)));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("soon").is_err());
        assert!(parse("3 weeks").is_err());
        assert!(parse("-1s").is_err());
    }
}
