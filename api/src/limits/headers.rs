//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::Standing;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Writes what applies to the request (`q` requests in `w` seconds) and where it stands (`r` left, full again after `t`
/// seconds); nothing for a request that no limit holds.
pub fn write(headers: &mut HeaderMap, standings: &[Standing]) {
    if standings.is_empty() {
        return;
    }
    headers.insert(POLICY, list(standings, |it| format!("\"{}\";q={};w=60", it.policy, it.quota)));
    headers.insert(
        LIMIT,
        list(standings, |it| {
            format!("\"{}\";r={};t={}", it.policy, it.left.max(0), it.full_after.as_secs_f64().ceil())
        }),
    );
}

fn list(standings: &[Standing], member: impl Fn(&Standing) -> String) -> HeaderValue {
    let members: Vec<String> = standings.iter().map(member).collect();
    HeaderValue::from_str(&members.join(", ")).expect("names and numbers are visible ASCII")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_limit_is_a_member_of_both_lists() {
        let standing = |policy, quota, left| Standing {
            policy,
            quota,
            left,
            full_after: Duration::from_millis(1_200),
            wait: Duration::ZERO,
        };
        let mut headers = HeaderMap::new();
        write(&mut headers, &[]);
        assert!(headers.is_empty());
        write(&mut headers, &[standing("tenant", 120, 118), standing("key", 96, 94)]);
        assert_eq!(headers["ratelimit-policy"], "\"tenant\";q=120;w=60, \"key\";q=96;w=60");
        assert_eq!(headers["ratelimit"], "\"tenant\";r=118;t=2, \"key\";r=94;t=2");
    }
}
