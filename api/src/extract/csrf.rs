//! Whether a request with a session was meant by the person it belongs to, or made by another site in their browser.

use axum::http::{HeaderMap, Method, header, request::Parts};
use subtle::ConstantTimeEq;

use crate::{
    cors::Origin,
    credentials,
    problem::{Kind, Problem},
};

const HEADER: &str = "x-csrf-token";

/// The token that every changing request of a session carries: derived from the session's secret, so that whoever cannot
/// read that cannot make it, and it ends with the session.
pub fn token(session: &str) -> String {
    hex::encode(credentials::hash_of(&["metachat csrf", session]))
}

/// Refuses a changing request without the session's token, or from an origin that is neither ours nor among `listed`.
pub fn check(parts: &Parts, session: &str, listed: &[Origin]) -> Result<(), Problem> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(&parts.method) {
        return Ok(());
    }
    known_origin(&parts.headers, listed)?;
    let sent = parts.headers.get(HEADER).map(|value| value.as_bytes()).unwrap_or_default();
    match token(session).as_bytes().ct_eq(sent).into() {
        true => Ok(()),
        false => Err(refused("Send the session's `csrf_token` as `X-CSRF-Token`.")),
    }
}

/// Refuses a request that says it comes from a page of another host, unless its origin is `listed`. Browsers say so, other
/// clients need not.
pub fn known_origin(headers: &HeaderMap, listed: &[Origin]) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    if listed.iter().any(|listed| listed.is(origin)) {
        return Ok(());
    }
    let text = |value: &axum::http::HeaderValue| value.to_str().ok().map(str::to_ascii_lowercase);
    let from = text(origin).and_then(|origin| origin.split_once("://").map(|(_, host)| host.to_owned()));
    match from.is_some() && from == headers.get(header::HOST).and_then(text) {
        true => Ok(()),
        false => Err(refused("The request comes from a page of another origin.")),
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(Kind::Csrf).detail(detail)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(method: Method, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::builder().method(method), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_changing_request_needs_the_token_of_its_own_session() {
        let (mine, others) = (token("mine"), token("others"));
        assert_ne!(mine, others);
        assert!(check(&parts(Method::GET, &[]), "mine", &[]).is_ok());
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(check(&parts(method.clone(), &[("x-csrf-token", &mine)]), "mine", &[]).is_ok(), "{method}");
            for headers in [&[][..], &[("x-csrf-token", others.as_str())], &[("x-csrf-token", "")]] {
                assert!(check(&parts(method.clone(), headers), "mine", &[]).is_err(), "{method} {headers:?}");
            }
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused_whatever_it_knows() {
        let mine = token("mine");
        let listed = ["https://console.example".parse().unwrap()];
        let from = |origin| {
            let headers = [("x-csrf-token", mine.as_str()), ("host", "app.example.com:8443"), ("origin", origin)];
            check(&parts(Method::POST, &headers), "mine", &listed).is_ok()
        };
        assert!(from("https://app.example.com:8443") && from("https://APP.example.com:8443"));
        assert!(from("https://console.example") && !from("http://console.example"));
        for foreign in ["https://evil.example", "null", "https://app.example.com", "https://app.example.com:8443.evil"]
        {
            assert!(!from(foreign), "{foreign}");
        }
    }
}
