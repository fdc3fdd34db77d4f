//! Which dead jobs a command means.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use jobs::{domain::ids::TenantId, store::dead_jobs::Filter};

/// Conditions, which all have to hold.
#[derive(Debug, Clone, Args)]
pub(super) struct Selection {
    /// Only this tenant's.
    #[arg(long, value_name = "tnt_…")]
    tenant: Option<TenantId>,
    /// Only jobs of this kind, such as `deliver_webhook`.
    #[arg(long)]
    kind: Option<String>,
    /// Only jobs with this text in their cause.
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Only jobs that died at this time or later: RFC 3339, or so long ago, such as 90s, 15m, 2h or 7d.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Only jobs that died before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<DateTime<Utc>>,
}

impl Selection {
    /// Whether there is a condition.
    pub fn is_empty(&self) -> bool {
        let Self { tenant, kind, cause, since, until } = self;
        tenant.is_none() && kind.is_none() && cause.is_none() && since.is_none() && until.is_none()
    }

    pub fn filter(self) -> Filter {
        let Self { tenant, kind, cause, since, until } = self;
        Filter { tenant, kind, cause, died_after: since, died_before: until }
    }
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    ago(text)
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(|| "neither a time such as 2026-11-23T18:00:00Z nor a duration such as 90s, 15m, 2h or 7d".into())
}

fn ago(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    match unit {
        's' => TimeDelta::try_seconds(number),
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        assert_eq!(time("2026-11-23T18:00:00Z").unwrap().timestamp(), 1_795_456_800);
        for (text, seconds) in [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800)] {
            let ago = (Utc::now() - time(text).unwrap()).num_seconds();
            assert!((seconds - 5..=seconds).contains(&ago), "{text}: {ago}");
        }
        for odd in ["", "s", "-5m", "5", "5 m", "5y", "yesterday", "9223372036854775807d", "ü"] {
            assert!(time(odd).is_err(), "{odd}");
        }
    }
}
